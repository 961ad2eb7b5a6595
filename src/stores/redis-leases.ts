// Leases as keys: the owner, and a nonce that is new with every write, so that a counter is never met twice, not even
// after the server lost its data. The server's expiry only sweeps up: who is gone is for the reader's clock to say.
import { randomBytes } from 'node:crypto';
import type { LeaseCell } from './leases.ts';
import type { RedisConnection } from './redis-connection.ts';

/** Whoever sends it again because the answer was lost finds what it wrote: it has won. */
const swapScript = `
local stored = redis.call('GET', KEYS[1]) or ''
if stored == ARGV[2] then return 1 end
if stored ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`;

/** A lease that nobody renews is swept up after so many of its lives. */
const livesUntilSwept = 10;

export function createRedisLeases(connection: RedisConnection, keyPrefix: string): LeaseCell {
  const keyOf = (credential: string): string => `${keyPrefix}lease:${credential}`;
  return {
    async read(credential) {
      const stored = await connection.run({ isWrite: false, credential }, (redis) => redis.get(keyOf(credential)));
      // `nonce owner`; what is not of this form is held by nobody we know, and goes stale like any other.
      return { counter: stored ?? '', owner: stored === null ? undefined : stored.slice(stored.indexOf(' ') + 1) };
    },
    async swap(credential, expected, owner, ttlMs) {
      const next = owner === undefined ? '' : `${randomBytes(12).toString('base64url')} ${owner}`;
      const sweptMs = String(Math.ceil(ttlMs * livesUntilSwept));
      const answer = await connection.run({ isWrite: true, credential }, (redis) =>
        redis.eval(swapScript, 1, keyOf(credential), expected, next, sweptMs),
      );
      return answer === 1;
    },
  };
}
