// A disk in memory for the file store's own folders, shared by the processes of a simulation: each looks at it through
// hooks of its own, so that it can be frozen, killed or refused between any two steps.
import type { Clock } from '../../src/clock.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { Disk } from '../../src/stores/disk.ts';
import { createVersionedFolder } from '../../src/stores/file-folder.ts';
import { createLeases } from '../../src/stores/leases.ts';
import { ABSENT, type Store, type StoredRecord } from '../../src/stores/store.ts';
import { assertStoredRecord } from '../../src/stores/stored-record.ts';

export interface MemoryDisk {
  readonly files: Map<string, string>;
  readonly folders: Set<string>;
  readonly watchers: Map<string, Set<() => void>>;
}

/** Runs before each step takes effect, and again after it. What it throws, the step throws. */
export type DiskStep = (alters: boolean) => Promise<void>;

export function createMemoryDisk(): MemoryDisk {
  return { files: new Map(), folders: new Set(), watchers: new Map() };
}

/** Names and write ids that never come twice. */
let made = 0;

function viewOf({ files, folders, watchers }: MemoryDisk, step: DiskStep): Disk {
  async function run<T>(alters: boolean, act: () => T): Promise<T> {
    await step(alters);
    const result = act();
    await step(alters);
    return result;
  }
  const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
  const namesIn = (folder: string): string[] =>
    [...files.keys()].filter((path) => parentOf(path) === folder).map((path) => path.slice(folder.length + 1));
  const disk: Disk = {
    read: (path) =>
      run(false, () => {
        const text = files.get(path);
        return text === undefined ? undefined : { value: text === '' ? undefined : (JSON.parse(text) as unknown) };
      }),
    list: (folder) => run(false, () => (folders.has(folder) ? namesIn(folder) : undefined)),
    exists: (path) => run(false, () => files.has(path)),
    makeFolder: (folder) => run(true, () => void folders.add(folder)),
    writeTemporary: (folder, text) =>
      run(true, () => {
        made += 1;
        const path = `${folder}/.tmp-${made}`;
        files.set(path, text);
        return path;
      }),
    link: (from, to) =>
      run(true, () => {
        const text = files.get(from);
        if (text === undefined) throw new SidebearerError('store_write_failed', { path: from });
        if (files.has(to)) return false;
        files.set(to, text);
        for (const changed of watchers.get(parentOf(to)) ?? []) setImmediate(changed);
        return true;
      }),
    sync: () => run(true, () => undefined),
    remove: (path) => run(true, () => files.delete(path)),
    tidy: (path) =>
      run(true, () => files.delete(path)).then(
        () => true,
        () => false,
      ),
    tidyTemporaries: async () => undefined,
  };
  return disk;
}

/** The file store's record and lease folders on that disk, as one process sees them. */
export function createStoreOnMemoryDisk(shared: MemoryDisk, clock: Clock, step: DiskStep): Store {
  const disk = viewOf(shared, step);
  const folders = new Map<string, ReturnType<typeof createVersionedFolder<StoredRecord>>>();
  const recordOf = (credential: string) => {
    const path = `/records/${credential}`;
    const folder =
      folders.get(credential) ??
      createVersionedFolder<StoredRecord>({
        path,
        disk,
        clock,
        decode: (value, file) => assertStoredRecord(value, credential, file),
        onLost() {
          throw new SidebearerError('record_corrupt', { credential, path });
        },
      });
    folders.set(credential, folder);
    return folder;
  };
  const leaseFolder = createVersionedFolder<{ writeId: string; owner?: string }>({
    path: '/leases/codex',
    disk,
    clock,
    decode: (value) => value as { writeId: string; owner?: string },
    onLost: () => undefined,
  });
  const unused = (): never => {
    throw new Error('not part of the simulation');
  };
  return {
    kind: 'file',
    async read(credential) {
      const { number, value } = await recordOf(credential).current();
      return value === undefined ? { version: ABSENT, record: undefined } : { version: String(number), record: value };
    },
    async commit(credential, expected, record) {
      const result = await recordOf(credential).swap(Number(expected), record);
      return result.committed
        ? { committed: true, version: String(result.number) }
        : { committed: false, conflict: true };
    },
    lease: createLeases(
      {
        async read() {
          const { number, value } = await leaseFolder.current();
          return { counter: String(number), owner: value?.owner };
        },
        async swap(_, expected, owner) {
          made += 1;
          const value = { writeId: `write ${made}`, ...(owner !== undefined && { owner }) };
          return (await leaseFolder.swap(Number(expected), value)).committed;
        },
      },
      clock,
    ),
    watch(credential, changed) {
      const folder = `/records/${credential}`;
      const all = shared.watchers.get(folder) ?? new Set();
      shared.watchers.set(folder, all);
      const call = (): void => changed();
      all.add(call);
      return { close: () => void all.delete(call) };
    },
    list: unused,
    probe: unused,
    logins: { put: unused, find: unused, take: unused },
    close: async () => undefined,
  };
}
