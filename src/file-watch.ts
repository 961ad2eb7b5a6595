// Watches a file that somebody else writes, through its folder: a file that is replaced would take its watch with it,
// and kubelet swaps a symlink beside it. It never reads the file, and a folder that is gone is looked for again.
import { type FSWatcher, readlinkSync, statSync, watch as watchFolder } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Clock, Timer } from './clock.ts';

/** A write is several events; kubelet's swap is some more. */
const SETTLE_MS = 50;
/** A folder that is not there (yet), was replaced, or cannot be watched is looked at again this often. */
const RETRY_MS = 5_000;

/** As the kernel's own limit. */
const MOST_LINKS = 40;

/** Calls back once for each burst of changes in the file's folder: other files' as well. */
export function watchFile(path: string, clock: Clock, changed: () => void): { close(): void } {
  return watchContents(dirname(path), clock, changed);
}

/** The same for whatever stands in `folder`. */
export function watchContents(folder: string, clock: Clock, changed: () => void): { close(): void } {
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

  /** Whatever was written while nobody watched raised no event: of a folder that is there and cannot be watched, all. */
  function rearm(): void {
    if (!isClosed && (arm() || watched !== undefined)) changed();
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

/**
 * Every folder in which a file or a link may be replaced so that `path` means something else: its own, and that of each
 * link on the way to it, of files and folders. What is not there yet ends the way.
 */
export function foldersOf(path: string): string[] {
  const folders = new Set<string>();
  let left = resolve(path)
    .split('/')
    .filter((step) => step !== '');
  let at = '/';
  for (let links = 0; left.length > 0 && links < MOST_LINKS; ) {
    const [step = '', ...others] = left;
    left = others;
    const next = join(at, step);
    const target = linkTarget(next);
    if (target !== undefined || left.length === 0) folders.add(at);
    if (target === undefined) {
      at = next;
      continue;
    }
    links += 1;
    left = [...target.split('/').filter((each) => each !== ''), ...left];
    if (target.startsWith('/')) at = '/';
  }
  return [...folders];
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
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
