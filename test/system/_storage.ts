// Where the programs of a fault test keep their records: a store as their configuration names it, and as the test
// itself opens it, beside them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { createFileStore } from '../../src/stores/file.ts';
import type { Store } from '../../src/stores/store.ts';

export interface Storage {
  readonly kind: Store['kind'];
  /** Settings of `store:` that say where it is. */
  readonly settings: string;
  readonly store: Store;
  /** Folder of the file store. */
  readonly path?: string;
  close(): Promise<void>;
}

export async function createFileStorage(): Promise<Storage> {
  const path = mkdtempSync(join(tmpdir(), 'sidebearer-faults-'));
  const store = await createFileStore({ path, clock: systemClock, onWarning: () => undefined });
  return {
    kind: 'file',
    settings: `kind: file, path: ${path}`,
    store,
    path,
    async close() {
      await store.close();
      rmSync(path, { recursive: true, force: true });
    },
  };
}
