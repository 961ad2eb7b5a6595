// Pending logins of a credential in one Secret of their own, a key each: whatever replica the browser comes back to finds
// its login, and of all replicas one takes it, by the Secret's version. Ended ones stay as tombstones, without payload.
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { KubernetesApi, KubernetesObject, Resource } from './kubernetes-api.ts';
import { readKey, withKey } from './kubernetes-secret.ts';
import { judgeLogin, maxPendingLogins, type PendingLogin, type Tombstone, tombstoneMs } from './login-rules.ts';
import type { FoundLogin, PendingLogins } from './store.ts';
import { isFields } from './stored-record.ts';

export interface KubernetesLoginsOptions {
  readonly api: KubernetesApi;
  readonly secrets: Resource;
  readonly nameOf: (credential: string) => string;
  readonly credentials: () => Iterable<string>;
  readonly clock: Clock;
  readonly random: () => number;
}

const idPattern = /^[0-9a-f]{64}$/;
/** Rounds against other writers of the same Secret; each loss means that somebody else got on. */
const MAX_ROUNDS = 40;

type Entry = { readonly pending: PendingLogin } | { readonly ended: Tombstone };
type Change = { readonly next: KubernetesObject | undefined; readonly result: FoundLogin | undefined };

export function createKubernetesLogins(options: KubernetesLoginsOptions): PendingLogins {
  const { api, secrets, nameOf, credentials, clock, random } = options;
  const secretOf = (credential: string): string => `${nameOf(credential)}-logins`;
  let lastPut: Promise<unknown> = Promise.resolve();

  const read = async (credential: string): Promise<KubernetesObject> =>
    (await api.read(secrets, secretOf(credential))) ?? { metadata: { name: secretOf(credential) }, type: 'Opaque' };

  /** A credential that was added without its rights must not cost the others their logins. */
  const readAllowed = async (
    credential: string,
  ): Promise<{ readonly secret?: KubernetesObject; readonly refusal?: SidebearerError }> => {
    try {
      return { secret: await read(credential) };
    } catch (thrown) {
      if (thrown instanceof SidebearerError && thrown.code === 'store_forbidden') return { refusal: thrown };
      throw thrown;
    }
  };

  /** Reads, decides, writes, as often as somebody else was first. */
  const amend = async (
    credential: string,
    decide: (secret: KubernetesObject) => Change,
  ): Promise<FoundLogin | undefined> => {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const { next, result } = decide(await read(credential));
      if (next === undefined || (await api.write(secrets, next)) !== undefined) return result;
      await pause(random() * Math.min(10 * 2 ** round, 200));
    }
    throw new SidebearerError('store_write_failed', { credential, reason: 'other writers were always first' });
  };

  const find = (secret: KubernetesObject, credential: string, id: string): FoundLogin => {
    const entry = readEntry(secret, credential, id);
    return judgeLogin(
      entry !== undefined && 'pending' in entry ? entry.pending : undefined,
      entry !== undefined && 'ended' in entry ? entry.ended : undefined,
      clock.wallMs(),
    );
  };

  /** Without what is forgotten; what has expired becomes a tombstone. */
  const sweep = (secret: KubernetesObject, credential: string): { swept: KubernetesObject; pending: number } => {
    const nowMs = clock.wallMs();
    let swept = secret;
    let pending = 0;
    for (const id of idsOf(secret)) {
      const entry = readEntry(secret, credential, id);
      const found = find(secret, credential, id);
      if (found.status === 'pending') pending += 1;
      else if (found.status === 'unknown') swept = withKey(swept, id, undefined);
      else if (entry !== undefined && 'pending' in entry && nowMs >= entry.pending.expiresAtMs) {
        const ended: Tombstone = { outcome: 'expired', expiresAtMs: entry.pending.expiresAtMs + tombstoneMs };
        swept = withKey(swept, id, ended);
      }
    }
    return { swept, pending };
  };

  const put: PendingLogins['put'] = async (id, { credential, sealed, expiresAtMs }) => {
    if (!idPattern.test(id)) throw new SidebearerError('internal_error', { reason: 'a login id is SHA-256 in hex' });
    for (const other of credentials()) {
      if (other === credential) continue;
      const { secret } = await readAllowed(other);
      if (secret !== undefined && readEntry(secret, other, id) !== undefined) throw taken(credential);
    }
    const mine = { sealed, expiresAtMs };
    await amend(credential, (secret) => {
      const { swept, pending } = sweep(secret, credential);
      if (readEntry(swept, credential, id) !== undefined) {
        // The answer to our own write may have been lost.
        if (JSON.stringify(readKey(secret, id)?.parsed) === JSON.stringify(mine))
          return { next: undefined, result: undefined };
        throw taken(credential);
      }
      if (pending >= maxPendingLogins) throw new SidebearerError('logins_pending_limit', { credential });
      return { next: withKey(swept, id, mine), result: undefined };
    });
  };

  /**
   * Whose login it is does not follow from its id.
   * @throws store_forbidden: it is none of those that can be read
   */
  const search = async (id: string): Promise<{ credential: string; found: FoundLogin } | undefined> => {
    if (!idPattern.test(id)) return undefined;
    let forbidden: SidebearerError | undefined;
    for (const credential of credentials()) {
      const { secret, refusal } = await readAllowed(credential);
      forbidden ??= refusal;
      const found: FoundLogin = secret === undefined ? { status: 'unknown' } : find(secret, credential, id);
      if (found.status !== 'unknown') return { credential, found };
    }
    if (forbidden !== undefined) throw forbidden;
    return undefined;
  };

  return {
    put(id, login) {
      // One at a time in this process: each counts what the one before it left.
      const mine = lastPut.then(() => put(id, login));
      lastPut = mine.catch(() => undefined);
      return mine;
    },

    find: async (id) => (await search(id))?.found ?? { status: 'unknown' },

    async take(id) {
      const known = await search(id);
      if (known === undefined) return { status: 'unknown' };
      if (known.found.status !== 'pending') return known.found;
      const { credential } = known;
      // So that a take whose answer was lost is known as this one.
      const by = randomBytes(12).toString('base64url');
      const taken = await amend(credential, (secret) => {
        const stored = readKey(secret, id)?.parsed;
        if (isFields(stored) && stored['by'] === by) return { next: undefined, result: known.found };
        const result = find(secret, credential, id);
        if (result.status !== 'pending') return { next: undefined, result };
        const ended = { outcome: 'used', expiresAtMs: clock.wallMs() + tombstoneMs, by };
        return { next: withKey(secret, id, ended), result };
      });
      return taken ?? { status: 'unknown' };
    },
  };
}

function taken(credential: string): SidebearerError {
  return new SidebearerError('store_write_failed', { credential, reason: 'a login with this state exists already' });
}

function idsOf(secret: KubernetesObject): string[] {
  const data = secret['data'];
  return isFields(data) ? Object.keys(data).filter((key) => idPattern.test(key)) : [];
}

/** What cannot be read is no login: one broken entry must not end all of them. */
function readEntry(secret: KubernetesObject, credential: string, id: string): Entry | undefined {
  const value = readKey(secret, id)?.parsed;
  if (!isFields(value) || typeof value['expiresAtMs'] !== 'number') return undefined;
  const { sealed, outcome, expiresAtMs } = value;
  if (typeof sealed === 'string') return { pending: { credential, sealed, expiresAtMs } };
  return outcome === 'used' || outcome === 'expired' ? { ended: { outcome, expiresAtMs } } : undefined;
}
