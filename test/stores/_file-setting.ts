// A folder of its own for a test, and stores on it as several processes would open them.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFileStore } from '../../src/stores/file.ts';
import type { Store } from '../../src/stores/store.ts';
import { createFakeClock, type FakeClock } from '../_fake-clock.ts';

export interface FileSetting {
  readonly path: string;
  readonly clock: FakeClock;
  /** Every warning of every store, in order. */
  readonly warnings: SidebearerError[];
  open(): Promise<Store>;
}

/** Its wall clock begins at the machine's own time, because files carry that one. */
export async function createFileSetting(t: Test, path?: string): Promise<FileSetting> {
  const folder = path ?? (await mkdtemp(join(tmpdir(), 'sidebearer-store-')));
  const clock = createFakeClock(Date.now());
  const warnings: SidebearerError[] = [];
  const stores: Store[] = [];
  t.teardown(async () => {
    for (const store of stores) await store.close();
    if (path === undefined) await rm(folder, { recursive: true, force: true });
  });
  return {
    path: folder,
    clock,
    warnings,
    async open() {
      const store = await createFileStore({ path: folder, clock, onWarning: (warning) => void warnings.push(warning) });
      stores.push(store);
      return store;
    },
  };
}
