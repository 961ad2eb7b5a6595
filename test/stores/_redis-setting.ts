// Stores on one redis-server, as several processes would open them, under a prefix of the test's own.
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createRedisStore, type RedisStoreOptions } from '../../src/stores/redis.ts';
import type { Store } from '../../src/stores/store.ts';

export interface RedisSetting {
  readonly keyPrefix: string;
  /** Every warning of every store, in order. */
  readonly warnings: SidebearerError[];
  open(options?: Partial<RedisStoreOptions>): Promise<Store>;
}

export function createRedisSetting(t: Test, url: string, clock: Clock = systemClock): RedisSetting {
  const keyPrefix = `test-${randomBytes(6).toString('hex')}:`;
  const warnings: SidebearerError[] = [];
  const stores: Store[] = [];
  t.teardown(() => Promise.all(stores.map((store) => store.close())));
  return {
    keyPrefix,
    warnings,
    async open(options = {}) {
      const store = createRedisStore({
        url,
        keyPrefix,
        secureContext: undefined,
        clock,
        random: Math.random,
        onWarning: (warning) => void warnings.push(warning),
        ...options,
      });
      stores.push(store);
      return store;
    },
  };
}
