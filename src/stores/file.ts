// The store of files under one folder, shared by as many processes as can see it: `records/<credential>/<version>`,
// `leases/<credential>/<version>`, `logins/<sha256 of the state>`, `scratch`.
// It never writes over a record, least of all over one that it cannot read.
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { asError, createDisk, type Disk, makePath } from './disk.ts';
import { createVersionedFolder, hasBegun, type VersionedFolder } from './file-folder.ts';
import { createFileLogins } from './file-logins.ts';
import { createFolderWatches } from './file-watch.ts';
import { createLeases, type LeaseCell } from './leases.ts';
import { ABSENT, type Store, type StoredRecord } from './store.ts';
import { assertStoredRecord, isFields } from './stored-record.ts';

const credentialPattern = /^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$/;

export interface FileStoreOptions {
  /** Made, 0700, where it is missing. */
  readonly path: string;
  readonly clock: Clock;
  /** What was tolerated (rights of the group, once) or left undone (a watch, tidying up). */
  readonly onWarning: (warning: SidebearerError) => void;
}

/**
 * Opens the store. Files and folders in it are refused where others have any right to them, where they belong to
 * another user than this process's (root's own included), and where they are symlinks or not plain. `path` itself
 * may belong to root, as the mount point of a volume does.
 * @throws store_path_invalid, store_permissions_open
 */
export async function createFileStore({ path, clock, onWarning }: FileStoreOptions): Promise<Store> {
  const root = resolve(path);
  const disk = createDisk(onWarning);
  await openRoot(root, onWarning);
  const [records, leases, logins] = await makeFolders(root, disk);
  const watches = createFolderWatches(clock, onWarning);
  const record = byCredential((credential) => createRecordFolder(join(records, credential), credential, disk, clock));
  const leaseOf = byCredential((credential) => createLeaseFolder(join(leases, credential), disk, clock));
  await disk.tidyTemporaries(root, (await disk.list(root).catch(() => undefined)) ?? [], clock.wallMs());
  await disk.tidyTemporaries(logins, (await disk.list(logins)) ?? [], clock.wallMs());

  return {
    kind: 'file',
    async read(credential) {
      const { number, value } = await record(credential).current();
      return value === undefined ? { version: ABSENT, record: undefined } : { version: String(number), record: value };
    },
    async commit(credential, expected, value) {
      const result = await record(credential).swap(Number(expected), value);
      return result.committed
        ? { committed: true, version: String(result.number) }
        : { committed: false, conflict: true };
    },
    lease: createLeases(createFileLeases(leaseOf), clock),
    watch: (credential, changed) => watches.add(join(records, assertName(credential)), changed),
    async list() {
      const found: string[] = [];
      for (const name of (await disk.list(records)) ?? []) {
        if (credentialPattern.test(name) && (await isRecordFolder(disk, join(records, name)))) found.push(name);
      }
      return found;
    },
    async probe() {
      // All that a commit needs of the disk, hard links included: not every mounted filesystem has them.
      const temporary = await disk.writeTemporary(root, 'scratch\n');
      try {
        const scratch = join(root, 'scratch');
        // Taken: another process probes, or was killed while it did.
        await disk.link(temporary, scratch);
        await disk.remove(scratch);
        await disk.sync(root);
      } finally {
        await disk.tidy(temporary);
      }
    },
    logins: createFileLogins({ path: logins, disk, clock, onWarning }),
    async close() {
      watches.close();
    },
  };
}

async function openRoot(root: string, onWarning: (warning: SidebearerError) => void): Promise<void> {
  const uid = process.geteuid?.();
  try {
    await makePath(root);
    const stats = await stat(root);
    if (!stats.isDirectory())
      throw new SidebearerError('store_path_invalid', { path: root, reason: 'it is no folder' });
    if (uid !== undefined && stats.uid !== uid && stats.uid !== 0) {
      throw new SidebearerError('store_path_invalid', { path: root, reason: 'it belongs to another user' });
    }
    if ((stats.mode & 0o002) !== 0) {
      // An emptyDir is such a folder. What is in it is ours alone all the same, or refused.
      onWarning(new SidebearerError('store_permissions_wide', { path: root, reason: 'others may write in it' }));
    }
  } catch (thrown) {
    throw asError('store_path_invalid', root, thrown);
  }
}

async function makeFolders(root: string, disk: Disk): Promise<readonly [string, string, string]> {
  const folders = [join(root, 'records'), join(root, 'leases'), join(root, 'logins')] as const;
  try {
    for (const folder of folders) await disk.makeFolder(folder);
    await disk.sync(root);
  } catch (thrown) {
    // The same failure as in a write, but nothing was to be written yet: the folder itself is of no use.
    if (!(thrown instanceof SidebearerError) || thrown.code !== 'store_write_failed') throw thrown;
    throw new SidebearerError('store_path_invalid', thrown.details, thrown.cause);
  }
  return folders;
}

/** One that is refused counts, too: who reads it is told why, and one alone must not hide the others. */
async function isRecordFolder(disk: Disk, folder: string): Promise<boolean> {
  try {
    return hasBegun((await disk.list(folder)) ?? []);
  } catch (thrown) {
    if (thrown instanceof SidebearerError && thrown.code === 'store_permissions_open') return true;
    throw thrown;
  }
}

function createRecordFolder(path: string, credential: string, disk: Disk, clock: Clock): VersionedFolder<StoredRecord> {
  return createVersionedFolder({
    path,
    disk,
    clock,
    decode: (value, file) => assertStoredRecord(value, credential, file),
    onLost() {
      throw new SidebearerError('record_corrupt', { credential, path, reason: 'all versions in its folder are gone' });
    },
  });
}

/** A lease as a file. Without owner: free. */
interface LeaseFile {
  readonly writeId: string;
  readonly owner?: string;
}

/** A lease is no treasure: a torn one counts as held by nobody we know, and goes stale like any other. */
function createLeaseFolder(path: string, disk: Disk, clock: Clock): VersionedFolder<LeaseFile> {
  return createVersionedFolder({
    path,
    disk,
    clock,
    decode(value): LeaseFile {
      const torn = { writeId: '', owner: 'unreadable' };
      if (!isFields(value) || typeof value['writeId'] !== 'string') return torn;
      const { writeId, owner } = value;
      if (owner === undefined) return { writeId };
      return typeof owner === 'string' ? { writeId, owner } : torn;
    },
    onLost() {},
  });
}

function createFileLeases(leaseOf: (credential: string) => VersionedFolder<LeaseFile>): LeaseCell {
  return {
    async read(credential) {
      const { number, value } = await leaseOf(credential).current();
      return { counter: String(number), owner: value?.owner };
    },
    async swap(credential, expected, owner) {
      const writeId = randomBytes(16).toString('base64url');
      const value = owner === undefined ? { writeId } : { writeId, owner };
      return (await leaseOf(credential).swap(Number(expected), value)).committed;
    },
  };
}

/** One folder object a credential, made when it is first asked for. */
function byCredential<T>(create: (credential: string) => T): (credential: string) => T {
  const made = new Map<string, T>();
  return (credential) => {
    const found = made.get(credential) ?? create(assertName(credential));
    made.set(credential, found);
    return found;
  };
}

/** The configuration has checked it; here it becomes a path, so it is checked where that happens. */
function assertName(credential: string): string {
  if (credentialPattern.test(credential)) return credential;
  throw new SidebearerError('internal_error', { reason: 'this is not the name of a credential' });
}
