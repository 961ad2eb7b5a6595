// Tells of new versions in a record's folder by fs.watch, one watcher a folder however many listen.
// It never throws and never keeps the process alive; where there is nothing to watch it warns, tries again now and
// then, and lets the listeners read each time.
import { type FSWatcher, lstatSync, mkdirSync, watch } from 'node:fs';
import { basename } from 'node:path';
import type { Clock, Timer } from '../clock.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import { versionNumbers } from './file-folder.ts';

export interface FolderWatches {
  /** Calls `changed` after new versions in `folder`; several may come as one. The folder is made if need be. */
  add(folder: string, changed: () => void): { close(): void };
  close(): void;
}

/** How often a folder that cannot be watched is read, and its watch tried again, ms. */
const RETRY_MS = 30_000;

interface Watched {
  watcher: FSWatcher | undefined;
  retry: Timer | undefined;
  /** The highest version that was told: a deletion is an event, too, and tells nothing. */
  highest: number;
  isDue: boolean;
  readonly listeners: Set<() => void>;
}

export function createFolderWatches(clock: Clock, onWarning: (warning: SidebearerError) => void): FolderWatches {
  const folders = new Map<string, Watched>();

  const tell = (watched: Watched): void => {
    if (watched.isDue) return;
    watched.isDue = true;
    setImmediate(() => {
      watched.isDue = false;
      for (const changed of watched.listeners) changed();
    });
  };

  const begin = (folder: string, watched: Watched): void => {
    watched.retry?.cancel();
    try {
      makeFolder(folder);
      watched.watcher = watch(folder, { persistent: false }, (_event, name) => {
        if (name === basename(folder)) return beginAgain(folder, watched);
        const [number = 0] = versionNumbers(name === null ? [] : [name]);
        if (name !== null && number <= watched.highest) return;
        watched.highest = Math.max(watched.highest, number);
        tell(watched);
      });
      watched.watcher.on('error', (error) => fail(folder, watched, error));
    } catch (thrown) {
      fail(folder, watched, thrown);
    }
  };

  /** The folder itself was moved or removed: its successor counts from the beginning. */
  const beginAgain = (folder: string, watched: Watched): void => {
    watched.watcher?.close();
    watched.highest = 0;
    begin(folder, watched);
    tell(watched);
  };

  const fail = (folder: string, watched: Watched, thrown: unknown): void => {
    watched.watcher?.close();
    watched.watcher = undefined;
    const system = systemCode(thrown);
    const details = { path: folder, ...(system === undefined ? {} : { systemCode: system }) };
    onWarning(new SidebearerError('store_watch_failed', details, thrown));
    watched.retry = clock.after(RETRY_MS, () => beginAgain(folder, watched), { background: true });
  };

  const end = (folder: string, watched: Watched): void => {
    watched.watcher?.close();
    watched.retry?.cancel();
    watched.listeners.clear();
    folders.delete(folder);
  };

  return {
    add(folder, changed) {
      let watched = folders.get(folder);
      if (watched === undefined) {
        watched = { watcher: undefined, retry: undefined, highest: 0, isDue: false, listeners: new Set() };
        folders.set(folder, watched);
      }
      // Also where an earlier watch had failed: the reason may have passed.
      if (watched.watcher === undefined) begin(folder, watched);
      const joined = watched;
      // Its own function each time, so that one callback given twice is two watches.
      const listener = (): void => changed();
      joined.listeners.add(listener);
      return {
        close() {
          joined.listeners.delete(listener);
          if (joined.listeners.size === 0 && folders.get(folder) === joined) end(folder, joined);
        },
      };
    },
    close() {
      for (const [folder, watched] of folders) end(folder, watched);
    },
  };
}

/** At once, because a watch is there when it is returned; a commit between asking and watching would go untold. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (thrown) {
    if (systemCode(thrown) !== 'EEXIST' || !lstatSync(folder).isDirectory()) throw thrown;
  }
}
