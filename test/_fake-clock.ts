// A clock that a test owns: time moves only when told, timers fire in order of their due time.
import type { Clock, Timer } from '../src/clock.ts';

export interface FakeClock extends Clock {
  /** Moves both clocks on by `ms`, firing what falls due in order, with promise jobs run after each timer. */
  advance(ms: number): Promise<void>;
  /** Moves the wall clock alone: a jump. */
  jumpWall(ms: number): void;
  /** How many timers are armed. */
  readonly armed: number;
  /** How many of them would keep the process alive. */
  readonly keepingAlive: number;
  /** Monotonic due time of the earliest armed timer, or undefined. */
  readonly nextDueMs: number | undefined;
}

interface Armed {
  readonly dueMs: number;
  readonly fire: () => void;
  readonly isBackground: boolean;
}

/** @param wallStartMs wall time at the beginning, ms */
export function createFakeClock(wallStartMs = 1_800_000_000_000): FakeClock {
  let now = 0;
  let wallOffset = wallStartMs;
  const timers = new Set<Armed>();
  const earliest = (): Armed | undefined => {
    let first: Armed | undefined;
    for (const timer of timers) if (first === undefined || timer.dueMs < first.dueMs) first = timer;
    return first;
  };
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
  };
  return {
    wallMs: () => wallOffset + now,
    monotonicMs: () => now,
    after(delayMs, fire, options): Timer {
      const timer = { dueMs: now + Math.max(delayMs, 0), fire, isBackground: options?.background === true };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (let next = earliest(); next !== undefined && next.dueMs <= end; next = earliest()) {
        timers.delete(next);
        now = Math.max(now, next.dueMs);
        next.fire();
        await settle();
      }
      now = end;
      await settle();
    },
    jumpWall(ms) {
      wallOffset += ms;
    },
    get armed() {
      return timers.size;
    },
    get keepingAlive() {
      return [...timers].filter(({ isBackground }) => !isBackground).length;
    },
    get nextDueMs() {
      return earliest()?.dueMs;
    },
  };
}
