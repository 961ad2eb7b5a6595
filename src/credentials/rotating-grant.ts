// A grant with a refresh token that may serve only once: redeemed under a lease and announced by an intent, by one
// process at a time. The order of the steps is the point of this file and of `redeem.ts`; each step's reason stands in
// docs/architecture.md, "A refresh step by step".
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Provider } from '../providers/provider.ts';
import type { Intent, Store } from '../stores/store.ts';
import { createAnswerCommit } from './answer-commit.ts';
import type { AttemptPolicy } from './attempts.ts';
import type { Breaker } from './breaker.ts';
import { fingerprint } from './fingerprint.ts';
import { followRecord } from './follow.ts';
import { type LeaseKeeper, takeLease } from './lease-keeper.ts';
import { createLogout } from './logout.ts';
import type { CredentialMemory } from './memory.ts';
import type { CredentialObserver } from './observer.ts';
import { createOtherHolders } from './other-holders.ts';
import { createRecordJudge } from './record-judge.ts';
import { COMMIT_ROUNDS, type OpenRecord, outrun, type RecordChange, type Records } from './records.ts';
import { createRedeem } from './redeem.ts';
import type { RenewalHost, RenewalResult, TokenSource } from './renewal.ts';
import { createRenewalEnds } from './renewal-ends.ts';
import { isSameAccount, mergeAccount, mergeAnswer } from './token-set.ts';

export interface RotatingGrantOptions {
  readonly credential: string;
  readonly provider: Provider;
  readonly store: Store;
  readonly records: Records;
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observer: CredentialObserver;
  /** 16 random bytes of this process, base64url. */
  readonly owner: string;
  readonly leaseMs: number;
  /** One attempt at the token endpoint, ms. */
  readonly timeoutMs: number;
  /** How long a request waits for a token, ms: a store that is back within it costs none. */
  readonly waitMs: number;
  readonly attempts: AttemptPolicy;
  readonly unclear: 'retry' | 'hold';
  /** `refreshToken` of the configuration: the first one only. */
  readonly seed: string | undefined;
  readonly revokeSuperseded: boolean;
  readonly memory: CredentialMemory;
}

/** One's place among the redeems at the endpoint. */
interface Gate {
  /** Leaving twice is leaving once. */
  leave(): void;
  enter(): Promise<void>;
}

/** Before a store that is out of reach is asked again, ms. */
const STORE_RETRY_MS = 250;

export function createRotatingGrant(options: RotatingGrantOptions): TokenSource {
  const { credential, provider, store, records, breaker, clock, owner, leaseMs, memory } = options;
  const judge = createRecordJudge(options);
  const ends = createRenewalEnds({ ...options, judge });
  const others = createOtherHolders({ ...options, judge });
  const commitAnswer = createAnswerCommit({ ...options, judge, ends });
  const redeem = createRedeem({ ...options, judge, ends, commitAnswer });

  // --- the steps ------------------------------------------------------------------------------------------------

  async function renew(host: RenewalHost): Promise<RenewalResult> {
    const patientUntilMs = clock.monotonicMs() + options.waitMs;
    for (;;) {
      if (host.stopping.aborted) return { kind: 'stopped' };
      try {
        const result = await tryToRenew(host);
        if (result !== undefined) return result;
      } catch (thrown) {
        const error = toSidebearerError(thrown);
        const mayPass = error.code === 'store_unavailable' && clock.monotonicMs() < patientUntilMs;
        if (!mayPass) return { kind: 'failed', error };
        await sleep(clock, STORE_RETRY_MS, host.stopping);
      }
    }
  }

  /** Undefined: again, from the first step. @throws store_* */
  async function tryToRenew(host: RenewalHost): Promise<RenewalResult | undefined> {
    // A place at the endpoint is taken before the lease: a crowd queues here, not on ten thousand renewals.
    const gate = await enterGate(host);
    let keeper: LeaseKeeper | undefined;
    try {
      keeper = await takeLease(store, credential, owner, leaseMs, clock);
      const result = keeper && (await renewUnderLease(host, keeper, gate));
      if (result !== undefined && result !== 'lease lost') return result;
    } catch (thrown) {
      if (keeper !== undefined) await ends.withdrawIntent(undefined);
      throw thrown;
    } finally {
      await keeper?.release();
      gate.leave();
    }
    return keeper === undefined ? await waitForHolder(host) : undefined;
  }

  async function enterGate(host: RenewalHost): Promise<Gate> {
    let place = await breaker.enter(host.isUrgent, host.stopping);
    return {
      leave: () => place.leave(),
      async enter() {
        place = await breaker.enter(host.isUrgent, host.stopping);
      },
    };
  }

  /** Step 1, where another holds the lease: its result if there is one by now, undefined to try again. @throws store_* */
  async function waitForHolder(host: RenewalHost): Promise<RenewalResult | undefined> {
    await others.change(host.stopping);
    const record = await records.read();
    if (judge.newSeed(record) !== undefined) return undefined;
    const adopted = ends.adopt(record, host);
    const death = judge.deathOf(record);
    if (death !== undefined) return { kind: 'dead', error: death };
    return adopted === 'enough' ? { kind: 'adopted' } : undefined;
  }

  async function renewUnderLease(
    host: RenewalHost,
    keeper: LeaseKeeper,
    gate: Gate,
  ): Promise<RenewalResult | 'lease lost'> {
    const waitedFor = new Set<string>();
    for (;;) {
      if (host.stopping.aborted) return { kind: 'stopped' };
      // Step 2: what is stored now decides, not what this process remembers.
      const record = await records.read();
      const seed = judge.newSeed(record);
      if (seed === undefined) {
        // A dead grant's last access token serves to its end, whoever obtained it.
        const adopted = ends.adopt(record, host);
        const death = judge.deathOf(record);
        if (death !== undefined) return { kind: 'dead', error: death };
        if (adopted === 'enough') return { kind: 'adopted' };
        if (record.tokens?.refreshToken === undefined)
          return adopted === 'none' ? ends.emptied(host) : { kind: 'dead', error: noRefreshToken() };
      }

      const intent = seed === undefined ? judge.liveIntent(record) : undefined;
      if (intent !== undefined) {
        const heldMs = (intent.holdUntil ?? 0) - clock.wallMs();
        if (heldMs > 0) return ends.held(heldMs);
        if (intent.owner !== owner) {
          memory.unclearFingerprint = intent.fingerprint;
          const key = `${intent.owner} ${intent.fingerprint}`;
          if (!waitedFor.has(key)) {
            waitedFor.add(key);
            await waitForOutcome(intent, host, gate);
            if (keeper.isLost) return 'lease lost';
            continue;
          }
        }
      }

      // An endpoint that is left alone needs no announcement; what others rotated was adopted above.
      if (breaker.remainingMs > 0) return ends.breakerHolds(breaker.remainingMs);

      // Step 3: a store that cannot be written is found out here, before anything is spent.
      const announced = await announce(record, seed);
      if (announced === undefined) continue;
      return await redeem(host, keeper, announced, () => gate.leave());
    }
  }

  /** Step 2, where a redeem was announced: its holder may still have the answer, and may still write it. */
  async function waitForOutcome(intent: Intent, host: RenewalHost, gate: Gate): Promise<void> {
    const patienceMs = options.timeoutMs + leaseMs;
    // Nothing is in flight meanwhile: whoever has something to redeem may have the place.
    gate.leave();
    await others.outcome(intent, host.isValidFor(patienceMs) ? patienceMs : leaseMs, host.stopping);
    await gate.enter();
  }

  /** An access token alone: it is used to its end, then a login is needed. */
  function noRefreshToken(): SidebearerError {
    return new SidebearerError('no_refresh_token', { credential });
  }

  /** Step 3. Undefined at a conflict. @throws store_* */
  function announce(record: OpenRecord, seed: string | undefined): Promise<OpenRecord | undefined> {
    const refreshToken = seed ?? record.tokens?.refreshToken ?? '';
    const intentUnder = (salt: string): Intent => ({
      fingerprint: fingerprint(salt, refreshToken),
      owner,
      since: clock.wallMs(),
    });
    if (seed === undefined) {
      const intent = intentUnder(record.stored?.salt ?? '');
      return records.commit(records.prepare(record, { ...judge.unclearEnd(record), intent }));
    }
    return records.commit(
      records.prepare(record, (salt) => ({
        tokens: { refreshToken: seed, obtainedAtMs: clock.wallMs() },
        bound: provider.bound,
        account: undefined,
        dead: undefined,
        unclear: undefined,
        seed: { fingerprint: fingerprint(salt, seed) },
        intent: intentUnder(salt),
      })),
    );
  }

  // --- the source -----------------------------------------------------------------------------------------------

  return {
    provider: provider.kind,
    grant: provider.grant,
    login: provider.login,
    device: provider.device,
    get breaker() {
      return breaker.state;
    },

    read: async () => judge.reading(await records.read()),

    follow: (changed) => followRecord(store, credential, leaseMs, clock, changed),

    renew,

    async accept(tokens, { replaceAccount }) {
      for (let round = 0; round < COMMIT_ROUNDS; round += 1) {
        const base = await records.read();
        const before = base.stored?.account;
        if (base.tokens !== undefined && !replaceAccount && !isSameAccount(before, tokens.account)) {
          throw new SidebearerError('account_differs', { credential });
        }
        const change: RecordChange = {
          tokens: mergeAnswer(undefined, tokens),
          account: isSameAccount(before, tokens.account) ? mergeAccount(before, tokens.account) : tokens.account,
          bound: provider.bound,
          intent: undefined,
          dead: undefined,
          unclear: undefined,
        };
        const committed = await records.commit(records.prepare(base, change));
        const token = committed === undefined ? undefined : judge.currentOf(committed);
        if (token === undefined) continue;
        const superseded = base.tokens?.refreshToken;
        if (options.revokeSuperseded && superseded !== undefined && superseded !== tokens.refreshToken) {
          await provider.revoke?.({ refreshToken: superseded }).catch(() => undefined);
        }
        return token;
      }
      throw outrun(credential);
    },

    logout: createLogout(options),
  };
}
