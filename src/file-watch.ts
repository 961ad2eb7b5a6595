// Watches a file that somebody else writes, through its folder: a file that is replaced would take its watch with it,
// and kubelet swaps a symlink beside it. It never reads the file, and a folder that is gone is looked for again.
import { type FSWatcher, statSync, watch as watchFolder } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock, Timer } from './clock.ts';

/** A write is several events; kubelet's swap is some more. */
const SETTLE_MS = 50;
/** A folder that is not there (yet), or was replaced, is looked for again this often. */
const RETRY_MS = 5_000;

/** Calls back once for each burst of changes in the file's folder: other files' as well. */
export function watchFile(path: string, clock: Clock, changed: () => void): { close(): void } {
  const folder = dirname(path);
  let watcher: FSWatcher | undefined;
  let watched: string | undefined;
  let timer: Timer | undefined;
  let isClosed = false;

  function later(delayMs: number, then: () => void): void {
    timer?.cancel();
    const fire = (): void => {
      timer = undefined;
      then();
    };
    timer = clock.after(delayMs, fire, { background: true });
  }

  function arm(): boolean {
    watcher?.close();
    watcher = undefined;
    watched = identityOf(folder);
    try {
      watcher = watchFolder(folder, { persistent: false }, stir);
      watcher.on('error', () => later(RETRY_MS, rearm));
    } catch {
      later(RETRY_MS, rearm);
    }
    return watcher !== undefined;
  }

  /** Whatever was written while nobody watched raised no event. */
  function rearm(): void {
    if (!isClosed && arm()) changed();
  }

  /** The first event of a burst sets the time: in a folder that never rests, waiting for rest would be for ever. */
  function stir(): void {
    if (timer !== undefined || isClosed) return;
    later(SETTLE_MS, () => {
      if (identityOf(folder) !== watched) arm();
      changed();
    });
  }

  arm();
  return {
    close() {
      isClosed = true;
      timer?.cancel();
      watcher?.close();
    },
  };
}

/** An inode number is soon used again; with the time of birth it is one folder. */
function identityOf(folder: string): string | undefined {
  try {
    const { dev, ino, birthtimeNs } = statSync(folder, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch {
    return undefined;
  }
}
