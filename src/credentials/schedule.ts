// One timer for all credentials, armed for the earliest due time. 10,000 credentials cost one binary heap; a move of
// one costs O(log n).
import type { Clock, Timer } from '../clock.ts';

/**
 * The longest sleep, ms. Due times are wall times and timers are monotonic: where the wall clock jumps, or a laptop
 * was suspended, the schedule is at most this late.
 */
const LONGEST_SLEEP_MS = 60_000;

export interface Schedule {
  /** Calls `due(name)` once at `atWallMs`; replaces what was set before. Infinity: never. */
  set(name: string, atWallMs: number): void;
  remove(name: string): void;
  stop(): void;
}

interface Entry {
  readonly name: string;
  atWallMs: number;
  position: number;
}

export function createSchedule(clock: Clock, due: (name: string) => void): Schedule {
  const heap: Entry[] = [];
  const entries = new Map<string, Entry>();
  let timer: Timer | undefined;
  let armedFor = Number.POSITIVE_INFINITY;
  let stopped = false;

  function place(entry: Entry, position: number): void {
    entry.position = position;
    heap[position] = entry;
  }

  function siftUp(entry: Entry): void {
    let at = entry.position;
    while (at > 0) {
      const parent = heap[(at - 1) >> 1];
      if (parent === undefined || parent.atWallMs <= entry.atWallMs) break;
      place(parent, at);
      at = (at - 1) >> 1;
    }
    place(entry, at);
  }

  function siftDown(entry: Entry): void {
    let at = entry.position;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      const least = right !== undefined && left !== undefined && right.atWallMs < left.atWallMs ? right : left;
      if (least === undefined || entry.atWallMs <= least.atWallMs) break;
      const vacated = least.position;
      place(least, at);
      at = vacated;
    }
    place(entry, at);
  }

  function removeEntry(entry: Entry): void {
    entries.delete(entry.name);
    const last = heap.pop();
    if (last === undefined || last === entry) return;
    last.position = entry.position;
    siftUp(last);
    siftDown(last);
  }

  function arm(): void {
    const first = heap[0];
    if (stopped || first === undefined) {
      timer?.cancel();
      timer = undefined;
      armedFor = Number.POSITIVE_INFINITY;
      return;
    }
    if (timer !== undefined && armedFor === first.atWallMs) return;
    timer?.cancel();
    armedFor = first.atWallMs;
    timer = clock.after(Math.min(first.atWallMs - clock.wallMs(), LONGEST_SLEEP_MS), fire, { background: true });
  }

  function fire(): void {
    timer = undefined;
    armedFor = Number.POSITIVE_INFINITY;
    const now = clock.wallMs();
    // Counted: what `due` sets for now again waits for the next turn, and never holds this one.
    for (let left = heap.length; left > 0; left -= 1) {
      const first = heap[0];
      if (first === undefined || first.atWallMs > now) break;
      removeEntry(first);
      due(first.name);
    }
    arm();
  }

  return {
    set(name, atWallMs) {
      const known = entries.get(name);
      if (atWallMs === Number.POSITIVE_INFINITY) {
        if (known !== undefined) removeEntry(known);
      } else if (known !== undefined) {
        known.atWallMs = atWallMs;
        siftUp(known);
        siftDown(known);
      } else {
        const entry: Entry = { name, atWallMs, position: heap.length };
        entries.set(name, entry);
        siftUp(entry);
      }
      arm();
    },
    remove(name) {
      const known = entries.get(name);
      if (known !== undefined) removeEntry(known);
      arm();
    },
    stop() {
      stopped = true;
      arm();
    },
  };
}
