// The store of one Redis, shared by all replicas that can reach it. Keys under `keyPrefix`: `record:<credential>`,
// `lease:<credential>`, `login:<sha256 of the state>`, `logins:<credential>`; a channel `changed`.
// Whatever must hold together is one script: nothing is read, judged and then written by another command.
import { randomBytes } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import type { Clock } from '../clock.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import { createLeases } from './leases.ts';
import { createRedisConnection } from './redis-connection.ts';
import { checkRedisDurability } from './redis-durability.ts';
import { createRedisLeases } from './redis-leases.ts';
import { createRedisLogins } from './redis-logins.ts';
import { createRedisRecords } from './redis-records.ts';
import { createRedisWatches } from './redis-watch.ts';
import type { Store } from './store.ts';

export interface RedisStoreOptions {
  /** `redis://` or `rediss://`; holds a secret. */
  readonly url: string;
  readonly keyPrefix: string;
  /** Whom TLS trusts; undefined: whom Node trusts. */
  readonly secureContext: SecureContext | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  /** A server that may lose what it confirmed, or that did; a watch that cannot be had. */
  readonly onWarning: (warning: SidebearerError) => void;
}

export interface RedisStore extends Store {
  /** Whom TLS trusts from now on. */
  trust(secureContext: SecureContext | undefined): void;
}

/** Writes and deletes, as a commit and its release do. */
const probeScript = `
redis.call('SET', KEYS[1], '1', 'PX', 60000)
return redis.call('DEL', KEYS[1])`;

/** It opens whether or not the server is there: who calls waits for it, for a bounded time. */
export function createRedisStore(options: RedisStoreOptions): RedisStore {
  const { keyPrefix, clock, onWarning } = options;
  const connection = createRedisConnection(options);
  const channel = `${keyPrefix}changed`;
  const records = createRedisRecords({ connection, keyPrefix, channel, onWarning });
  const watches = createRedisWatches({ connection, channel, compare: records.changed, clock, onWarning });
  checkRedisDurability(connection, onWarning);

  return {
    kind: 'redis',
    trust: connection.trust,
    read: records.read,
    commit: records.commit,
    lease: createLeases(createRedisLeases(connection, keyPrefix), clock),
    watch: watches.add,
    list: records.list,
    async probe() {
      const key = `${keyPrefix}scratch:${randomBytes(12).toString('base64url')}`;
      await connection.run({ isWrite: true }, (redis) => redis.eval(probeScript, 1, key));
    },
    logins: createRedisLogins(connection, keyPrefix, clock),
    async close() {
      watches.close();
      connection.close();
    },
  };
}
