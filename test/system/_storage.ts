// Where the programs of a fault test keep their records: a store as their configuration names it, and as the test
// itself opens it, beside them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { createFileStore } from '../../src/stores/file.ts';
import { createRedisStore } from '../../src/stores/redis.ts';
import type { Store } from '../../src/stores/store.ts';
import { startRedisServer } from '../stores/_redis-server.ts';

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

/** @param through the port of a wire to it, made from its own port; absent: straight */
export async function createRedisStorage(through?: (port: number) => Promise<number>): Promise<Storage> {
  const ends: (() => unknown)[] = [];
  const server = await startRedisServer({ teardown: (end) => ends.push(end) });
  const common = { keyPrefix: 'sidebearer:', secureContext: undefined, clock: systemClock, random: Math.random };
  const store = createRedisStore({ ...common, url: server.url, onWarning: () => undefined });
  const port = (await through?.(server.port)) ?? server.port;
  return {
    kind: 'redis',
    settings: `kind: redis, url: "redis://127.0.0.1:${port}/0"`,
    store,
    async close() {
      await store.close();
      for (const end of ends) await end();
    },
  };
}
