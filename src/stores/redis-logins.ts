// Pending logins as keys with an expiry, which outlives the tombstone; what a login counts as is judged by our own clock.
// Of all replicas one takes a login, by a script that swaps it for its tombstone.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { judgeLogin, maxPendingLogins, type PendingLogin, type Tombstone, tombstoneMs } from './login-rules.ts';
import type { RedisConnection } from './redis-connection.ts';
import type { FoundLogin, PendingLogins } from './store.ts';
import { isFields } from './stored-record.ts';

const idPattern = /^[0-9a-f]{64}$/;
/** Of the sorted set that counts the pending ones; longer than any login lasts. */
const countLifeMs = 24 * 60 * 60_000;

/** 1: it is there, by this call or an earlier try of the same one. 0: the state is in use. -1: too many. */
const putScript = `
local known = redis.call('GET', KEYS[1])
if known then return known == ARGV[2] and 1 or 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[6]) then return -1 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
return 1`;

/** 1: it is ours, by this call or an earlier try of the same one. */
const takeScript = `
local standing = redis.call('GET', KEYS[1])
if standing == ARGV[3] then return 1 end
if standing ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1`;

export function createRedisLogins(connection: RedisConnection, keyPrefix: string, clock: Clock): PendingLogins {
  const keyOf = (id: string): string => `${keyPrefix}login:${id}`;
  const countOf = (credential: string): string => `${keyPrefix}logins:${credential}`;

  const look = async (id: string): Promise<{ text: string; found: FoundLogin }> => {
    const absent = { text: '', found: { status: 'unknown' } } as const;
    if (!idPattern.test(id)) return absent;
    const text = await connection.run({ isWrite: false }, (redis) => redis.get(keyOf(id)));
    if (text === null) return absent;
    const { pending, tombstone } = readEntry(text);
    return { text, found: judgeLogin(pending, tombstone, clock.wallMs()) };
  };

  return {
    async put(id, { credential, sealed, expiresAtMs }) {
      if (!idPattern.test(id)) throw new SidebearerError('internal_error', { reason: 'a login id is SHA-256 in hex' });
      const text = JSON.stringify({ credential, sealed, expiresAtMs });
      const nowMs = clock.wallMs();
      const lifeMs = Math.max(1, Math.ceil(expiresAtMs - nowMs + tombstoneMs));
      const counted = [nowMs, expiresAtMs, lifeMs, maxPendingLogins, countLifeMs].map(String);
      const answer = await connection.run({ isWrite: true, credential }, (redis) =>
        redis.eval(putScript, 2, keyOf(id), countOf(credential), id, text, ...counted),
      );
      if (answer === 1) return;
      if (answer === -1) throw new SidebearerError('logins_pending_limit', { credential });
      throw new SidebearerError('store_write_failed', {
        credential,
        reason: 'a login with this state exists already',
      });
    },

    find: async (id) => (await look(id)).found,

    async take(id) {
      const { text, found } = await look(id);
      if (found.status !== 'pending') return found;
      const { credential } = found;
      const ended: Tombstone & { by: string } = {
        outcome: 'used',
        expiresAtMs: clock.wallMs() + tombstoneMs,
        // So that a take whose answer was lost is known as this one.
        by: randomBytes(12).toString('base64url'),
      };
      const answer = await connection.run({ isWrite: true, credential }, (redis) =>
        redis.eval(takeScript, 2, keyOf(id), countOf(credential), id, text, JSON.stringify(ended), String(tombstoneMs)),
      );
      return answer === 1 ? found : (await look(id)).found;
    },
  };
}

/** What cannot be read is no login. */
function readEntry(text: string): { pending?: PendingLogin | undefined; tombstone?: Tombstone | undefined } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return {};
  }
  if (!isFields(value) || typeof value['expiresAtMs'] !== 'number') return {};
  const { credential, sealed, outcome, expiresAtMs } = value;
  if (outcome === 'used' || outcome === 'expired') return { tombstone: { outcome, expiresAtMs } };
  if (typeof credential !== 'string' || typeof sealed !== 'string') return {};
  return { pending: { credential, sealed, expiresAtMs } };
}
