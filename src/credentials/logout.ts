// The end of a grant by a person's wish: under the lease, so that no redeem is in flight, its tokens are revoked at the
// provider, best effort, and a tombstone takes their place. It never leaves a token behind that it did not revoke.
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Provider } from '../providers/provider.ts';
import type { Store } from '../stores/store.ts';
import type { Revocation } from './bearer.ts';
import { fingerprint } from './fingerprint.ts';
import { type LeaseKeeper, takeLease } from './lease-keeper.ts';
import type { CredentialObserver } from './observer.ts';
import { COMMIT_ROUNDS, type OpenRecord, outrun, type Records } from './records.ts';
import type { TokenSource } from './renewal.ts';
import type { TokenSet } from './token-set.ts';

export interface LogoutOptions {
  readonly credential: string;
  readonly provider: Provider;
  readonly store: Store;
  readonly records: Records;
  readonly clock: Clock;
  readonly observer: CredentialObserver;
  /** 16 random bytes of this process, base64url. */
  readonly owner: string;
  readonly leaseMs: number;
  /** One attempt at the token endpoint, ms. */
  readonly timeoutMs: number;
  /** `refreshToken` of the configuration. */
  readonly seed: string | undefined;
}

/** Between two looks at a lease that another holds, ms: a person is waiting. */
const LEASE_POLL_MS = 500;

export function createLogout(options: LogoutOptions): TokenSource['logout'] {
  const { credential, provider, store, records, clock, observer, owner, leaseMs } = options;
  /** Longer than a redeem can be in flight: what holds on still is waiting for something else. */
  const patienceMs = options.timeoutMs + leaseMs;

  /** Undefined where another never let it go: its redeem then finds the tombstone, and revokes its own tokens. */
  async function waitForLease(): Promise<LeaseKeeper | undefined> {
    const endMs = clock.monotonicMs() + patienceMs;
    for (;;) {
      const keeper = await takeLease(store, credential, owner, leaseMs, clock);
      if (keeper !== undefined || clock.monotonicMs() >= endMs) return keeper;
      await sleep(clock, Math.min(LEASE_POLL_MS, leaseMs / 3), undefined, { background: true });
    }
  }

  /** What the provider may still accept. A record that is bound elsewhere is nothing that may be sent there. */
  function livingTokens(record: OpenRecord): Pick<TokenSet, 'refreshToken' | 'accessToken'>[] {
    const { tokens, stored } = record;
    const isOurs = tokens !== undefined && records.isBoundHere(record);
    const living = isOurs ? [tokens] : [];
    if (options.seed === undefined) return living;
    const isTaken = stored?.seed?.fingerprint === records.fingerprintOf(record, options.seed);
    return stored !== undefined && isTaken ? living : [...living, { refreshToken: options.seed }];
  }

  async function revoke({ refreshToken, accessToken }: ReturnType<typeof livingTokens>[number]): Promise<Revocation> {
    if (refreshToken === undefined && accessToken === undefined) return { outcome: 'unneeded' };
    if (provider.revoke === undefined) return { outcome: 'unsupported' };
    const tokens = {
      ...(refreshToken !== undefined && { refreshToken }),
      ...(accessToken !== undefined && { accessToken }),
    };
    try {
      return { outcome: await provider.revoke(tokens) };
    } catch (thrown) {
      const { row, details } = toSidebearerError(thrown);
      const error = new SidebearerError('revocation_failed', { reason: row.message, ...details, credential });
      observer.failed(error, credential);
      return { outcome: 'failed', error };
    }
  }

  /** Revokes, then deletes. Who writes in between has its tokens revoked and deleted, too. */
  async function end(): Promise<Revocation> {
    const revocations = new Map<string, Revocation>();
    for (let round = 1; ; round += 1) {
      const record = await records.read();
      const living = livingTokens(record);
      if (record.tokens === undefined && living.length === 0) break;
      for (const tokens of living) {
        const key = tokens.refreshToken ?? tokens.accessToken ?? '';
        if (!revocations.has(key)) revocations.set(key, await revoke(tokens));
      }
      const committed = await records.commit(records.prepare(record, (salt) => tombstone(record, salt)));
      if (committed !== undefined) break;
      if (round === COMMIT_ROUNDS) throw outrun(credential);
    }
    return worstOf([...revocations.values()]);
  }

  /** The configured seed counts as taken, or the next reading would begin anew with it. */
  function tombstone({ stored }: OpenRecord, salt: string) {
    const seed = options.seed === undefined ? stored?.seed : { fingerprint: fingerprint(salt, options.seed) };
    return {
      tokens: undefined,
      account: undefined,
      intent: undefined,
      dead: undefined,
      unclear: undefined,
      ...(seed !== undefined && { seed }),
    };
  }

  return async (renewal) => {
    // One that cannot write what it redeemed goes on for as long as that takes; deleting would fail in the same way.
    if (renewal !== undefined && !(await isOver(renewal, clock, patienceMs))) {
      const reason = 'a token that was refreshed cannot be written yet';
      throw new SidebearerError('store_write_failed', { credential, reason });
    }
    const keeper = await waitForLease();
    try {
      return await end();
    } finally {
      await keeper?.release();
    }
  };
}

async function isOver(work: Promise<unknown>, clock: Clock, withinMs: number): Promise<boolean> {
  const over = new AbortController();
  const ended = work.then(() => over.abort());
  await Promise.race([ended, sleep(clock, withinMs, over.signal, { background: true })]);
  return over.signal.aborted;
}

/** Of several, what a person has to know. */
function worstOf(revocations: readonly Revocation[]): Revocation {
  const order = ['failed', 'unsupported', 'revoked'] as const;
  const byOutcome = order.map((outcome) => revocations.find((each) => each.outcome === outcome));
  return byOutcome.find((each) => each !== undefined) ?? { outcome: 'unneeded' };
}
