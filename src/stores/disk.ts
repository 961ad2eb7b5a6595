// How the file store touches the disk: plain files and folders of our own, and every failure with its code.
// It never follows a symlink, never loosens a mode, and never replaces a file that exists.
import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, readdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';

const temporaryPrefix = '.tmp-';
const temporaryLifeMs = 60 * 60_000;
/** Not blocking: opening a pipe that stands in a file's place must not wait for its other end. */
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** All paths are absolute. */
export interface Disk {
  /**
   * A file of our own as JSON (undefined: it is none), or undefined where there is no such file.
   * @throws store_permissions_open, store_unavailable
   */
  read(path: string): Promise<{ readonly value: unknown } | undefined>;
  /** Names in a folder of our own, or undefined where there is none. @throws store_permissions_open, store_unavailable */
  list(folder: string): Promise<readonly string[] | undefined>;
  /** Whether the name is taken, by whatever. @throws store_unavailable */
  exists(path: string): Promise<boolean>;
  /** Makes the folder, 0700, where it is missing. @throws store_write_failed, store_permissions_open */
  makeFolder(folder: string): Promise<void>;
  /** Writes `text` durably under a new name, 0600; returns the path. @throws store_write_failed */
  writeTemporary(folder: string, text: string): Promise<string>;
  /** Gives the file a second name; false where that is taken. Durable after `sync`. @throws store_write_failed */
  link(from: string, to: string): Promise<boolean>;
  /** Makes the names in a folder durable. @throws store_write_failed */
  sync(folder: string): Promise<void>;
  /** False where it was gone already. @throws store_write_failed */
  remove(path: string): Promise<boolean>;
  /** Removes what can be done without; where that fails it warns and says false. */
  tidy(path: string): Promise<boolean>;
  /** Tidies away what a process that was killed left behind over an hour ago. */
  tidyTemporaries(folder: string, names: readonly string[], nowMs: number): Promise<void>;
}

/** @param onWarning what was tolerated or left undone; rights of the group are told once */
export function createDisk(onWarning: (warning: SidebearerError) => void): Disk {
  const uid = process.geteuid?.();
  let isGroupTold = false;

  const assertOurs = (stats: Stats, isRightKind: boolean, path: string): void => {
    const refuse = (reason: string): SidebearerError => new SidebearerError('store_permissions_open', { path, reason });
    if (!isRightKind) throw refuse('it is not a plain file or folder');
    if (uid !== undefined && stats.uid !== uid) throw refuse('it belongs to another user');
    if ((stats.mode & 0o007) !== 0) throw refuse('it is open to others');
    if ((stats.mode & 0o070) !== 0 && !isGroupTold) {
      // A volume with fsGroup turns 0600 into 0660 at each mount: refusing it would refuse Kubernetes.
      isGroupTold = true;
      onWarning(new SidebearerError('store_permissions_wide', { path, reason: 'it is open to its group' }));
    }
  };

  const disk: Disk = {
    async read(path) {
      try {
        return await withFile(path, readFlags, async (file) => {
          const stats = await file.stat();
          assertOurs(stats, stats.isFile(), path);
          return { value: parseJson(await file.readFile()) };
        });
      } catch (thrown) {
        if (systemCode(thrown) === 'ENOENT') return undefined;
        // ELOOP: a symlink; ENXIO: a socket; EACCES: mostly another owner. The file itself tells it better.
        if (!(thrown instanceof SidebearerError)) await explain(path, assertOurs);
        throw asError('store_unavailable', path, thrown);
      }
    },
    async list(folder) {
      try {
        const stats = await lstat(folder);
        assertOurs(stats, stats.isDirectory(), folder);
        return await readdir(folder);
      } catch (thrown) {
        if (systemCode(thrown) === 'ENOENT') return undefined;
        throw asError('store_unavailable', folder, thrown);
      }
    },
    async exists(path) {
      try {
        await lstat(path);
        return true;
      } catch (thrown) {
        if (systemCode(thrown) === 'ENOENT') return false;
        throw asError('store_unavailable', path, thrown);
      }
    },
    async makeFolder(folder) {
      try {
        await makePath(folder);
        const stats = await lstat(folder);
        assertOurs(stats, stats.isDirectory(), folder);
      } catch (thrown) {
        throw asError('store_write_failed', folder, thrown);
      }
    },
    async writeTemporary(folder, text) {
      const path = join(folder, temporaryPrefix + randomBytes(12).toString('hex'));
      try {
        await withFile(path, createFlags, async (file) => {
          try {
            await file.writeFile(text);
            await file.sync();
          } catch (thrown) {
            await disk.tidy(path);
            throw thrown;
          }
        });
        return path;
      } catch (thrown) {
        throw asError('store_write_failed', path, thrown);
      }
    },
    async link(from, to) {
      try {
        await link(from, to);
        return true;
      } catch (thrown) {
        if (systemCode(thrown) === 'EEXIST') return false;
        throw asError('store_write_failed', to, thrown);
      }
    },
    async sync(folder) {
      try {
        await withFile(folder, constants.O_RDONLY | constants.O_DIRECTORY, (file) => file.sync());
      } catch (thrown) {
        throw asError('store_write_failed', folder, thrown);
      }
    },
    async remove(path) {
      try {
        await unlink(path);
        return true;
      } catch (thrown) {
        if (systemCode(thrown) === 'ENOENT') return false;
        throw asError('store_write_failed', path, thrown);
      }
    },
    async tidy(path) {
      try {
        await disk.remove(path);
        return true;
      } catch (thrown) {
        onWarning(asError('store_write_failed', path, thrown));
        return false;
      }
    },
    async tidyTemporaries(folder, names, nowMs) {
      for (const name of names) {
        if (!name.startsWith(temporaryPrefix)) continue;
        const path = join(folder, name);
        const stats = await lstat(path).catch(() => undefined);
        // Gone meanwhile: its writer has done it.
        if (stats !== undefined && nowMs - stats.mtimeMs > temporaryLifeMs) await disk.tidy(path);
      }
    },
  };
  return disk;
}

/**
 * Makes a folder and its parents, 0700, where they are missing. Node's own `recursive` never ends where a parent is
 * there and yet refuses with ENOENT, as /proc does.
 */
export async function makePath(path: string): Promise<void> {
  try {
    await makeOne(path);
  } catch (thrown) {
    const parent = dirname(path);
    if (systemCode(thrown) !== 'ENOENT' || parent === path) throw thrown;
    await makePath(parent);
    await makeOne(path);
  }
}

async function makeOne(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (thrown) {
    // Whether what is there is a folder, and ours, is judged by whoever uses it.
    if (systemCode(thrown) !== 'EEXIST') throw thrown;
  }
}

/** The error as it is where it is ours, else with this code, the system's code and the path. */
export function asError(
  code: 'store_unavailable' | 'store_write_failed' | 'store_path_invalid',
  path: string,
  thrown: unknown,
): SidebearerError {
  if (thrown instanceof SidebearerError) return thrown;
  const system = systemCode(thrown);
  return new SidebearerError(code, { path, ...(system === undefined ? {} : { systemCode: system }) }, thrown);
}

/** Opens (a new file with 0600), uses and closes; a failure to close is a failure. */
async function withFile<T>(path: string, flags: number, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags, 0o600);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Throws what `assertOurs` has against a file that could not be opened; silent where it has nothing against it. */
async function explain(
  path: string,
  assertOurs: (stats: Stats, isRightKind: boolean, path: string) => void,
): Promise<void> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats !== undefined) assertOurs(stats, stats.isFile(), path);
}

/** Undefined where the bytes are not UTF-8 or not JSON: JSON itself has no undefined. */
function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}
