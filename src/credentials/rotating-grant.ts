// A grant with a refresh token that may serve only once: redeemed under a lease, announced by an intent, and never
// dropped once the provider has answered. The order of the steps is the point of this file; each step's reason
// stands in docs/architecture.md, "A refresh step by step".
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Provider, TokenAnswer } from '../providers/provider.ts';
import type { Intent, Store } from '../stores/store.ts';
import { type AttemptPolicy, runAttempts } from './attempts.ts';
import type { Breaker } from './breaker.ts';
import { fingerprint } from './fingerprint.ts';
import { followRecord } from './follow.ts';
import { type LeaseKeeper, takeLease } from './lease-keeper.ts';
import { createLogout } from './logout.ts';
import type { CredentialMemory } from './memory.ts';
import type { CredentialObserver } from './observer.ts';
import type { OpenRecord, PreparedCommit, RecordChange, Records } from './records.ts';
import type { Reading, RenewalHost, RenewalResult, TokenSource } from './renewal.ts';
import { type CurrentToken, isSameAccount, mergeAccount, mergeAnswer } from './token-set.ts';

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

/** Between two tries to make redeemed tokens durable, ms; the contract allows no more than a second. */
const FIRST_COMMIT_RETRY_MS = 100;
const LONGEST_COMMIT_RETRY_MS = 1_000;
/** What a commit may take before its token serves from memory: requests may be waiting for it. */
const COMMIT_PATIENCE_MS = 1_000;
/** Before a store that is out of reach is asked again, ms. */
const STORE_RETRY_MS = 250;
/** Rounds of a commit against other writers before giving up. */
const COMMIT_ROUNDS = 20;

export function createRotatingGrant(options: RotatingGrantOptions): TokenSource {
  const { credential, provider, store, records, breaker, clock, random, observer, owner, leaseMs, memory } = options;

  // --- what a record says ---------------------------------------------------------------------------------------

  function currentOf(record: OpenRecord): CurrentToken | undefined {
    if (record.stored === undefined || record.tokens === undefined) return undefined;
    const { generation, account } = record.stored;
    return { generation, tokens: record.tokens, ...(account !== undefined && { account }) };
  }

  /** A configured refresh token that this record has never held. */
  function newSeed(record: OpenRecord): string | undefined {
    if (options.seed === undefined) return undefined;
    if (record.stored?.seed === undefined) return options.seed;
    return record.stored.seed.fingerprint === records.fingerprintOf(record, options.seed) ? undefined : options.seed;
  }

  function deathOf(record: OpenRecord): SidebearerError | undefined {
    if (record.tokens !== undefined && !records.isBoundHere(record)) {
      return new SidebearerError('record_bound_elsewhere', { credential });
    }
    const dead = record.stored?.dead;
    if (dead === undefined || dead.fingerprint !== redeemableFingerprint(record)) return undefined;
    return new SidebearerError(dead.code, { credential });
  }

  function redeemableFingerprint(record: OpenRecord): string | undefined {
    return records.fingerprintOf(record, record.tokens?.refreshToken);
  }

  /** Kept with the record, so that whoever meets the consequence, in whatever process, can tell the cause. */
  function unclearEnd(record: OpenRecord): RecordChange {
    if (memory.unclearFingerprint === undefined || memory.unclearFingerprint !== redeemableFingerprint(record))
      return {};
    return { unclear: { fingerprint: memory.unclearFingerprint } };
  }

  function hadUnclearEnd(record: OpenRecord): boolean {
    const ours = redeemableFingerprint(record);
    return ours !== undefined && (ours === memory.unclearFingerprint || ours === record.stored?.unclear?.fingerprint);
  }

  /** Whose token this is: a record that is bound elsewhere is nobody's here. */
  function adopt(record: OpenRecord, host: RenewalHost): 'enough' | 'not enough' | 'none' {
    const token = records.isBoundHere(record) ? currentOf(record) : undefined;
    if (token === undefined) return 'none';
    host.publish(token, true);
    return host.isEnough(token) ? 'enough' : 'not enough';
  }

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
      if (keeper !== undefined) await withdrawIntent(undefined);
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
    await waitForChange(host.stopping, leaseMs / 3);
    const record = await records.read();
    if (newSeed(record) !== undefined) return undefined;
    const adopted = adopt(record, host);
    const death = deathOf(record);
    if (death !== undefined) return { kind: 'dead', error: death };
    return adopted === 'enough' ? { kind: 'adopted' } : undefined;
  }

  /** Until the record changes, at most so long; with jitter where nothing tells of changes. */
  async function waitForChange(stopping: AbortSignal, mostMs: number): Promise<void> {
    const changed = new AbortController();
    const watch = store.watch?.(credential, () => changed.abort());
    const longestMs = watch === undefined ? Math.min(250 + random() * 1_750, mostMs) : mostMs;
    await sleep(clock, longestMs, AbortSignal.any([stopping, changed.signal]));
    watch?.close();
  }

  /** Until whoever announced this redeem has written its outcome, at most so long. */
  async function waitForAnnounced(
    { owner, fingerprint }: Intent,
    mostMs: number,
    stopping: AbortSignal,
  ): Promise<void> {
    const endsAtMs = clock.monotonicMs() + mostMs;
    for (let leftMs = mostMs; leftMs > 0 && !stopping.aborted; leftMs = endsAtMs - clock.monotonicMs()) {
      await waitForChange(stopping, Math.min(leaseMs / 3, leftMs));
      const now = await records.read().catch(() => undefined);
      // Out of reach, it may still be written.
      if (now === undefined) continue;
      const intent = liveIntent(now);
      if (intent?.owner !== owner || intent.fingerprint !== fingerprint) return;
    }
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
      const seed = newSeed(record);
      if (seed === undefined) {
        // A dead grant's last access token serves to its end, whoever obtained it.
        const adopted = adopt(record, host);
        const death = deathOf(record);
        if (death !== undefined) return { kind: 'dead', error: death };
        if (adopted === 'enough') return { kind: 'adopted' };
        if (record.tokens?.refreshToken === undefined)
          return adopted === 'none' ? emptied(host) : withoutRefreshToken();
      }

      const intent = seed === undefined ? liveIntent(record) : undefined;
      if (intent !== undefined) {
        const heldMs = (intent.holdUntil ?? 0) - clock.wallMs();
        if (heldMs > 0) return held(heldMs);
        const key = `${intent.owner} ${intent.fingerprint}`;
        if (intent.owner !== owner) {
          // Its holder may still have the answer, and may still write it.
          memory.unclearFingerprint = intent.fingerprint;
          if (!waitedFor.has(key)) {
            waitedFor.add(key);
            const patienceMs = options.timeoutMs + leaseMs;
            // Nothing is in flight meanwhile: whoever has something to redeem may have the place.
            gate.leave();
            await waitForAnnounced(intent, host.isValidFor(patienceMs) ? patienceMs : leaseMs, host.stopping);
            await gate.enter();
            if (keeper.isLost) return 'lease lost';
            continue;
          }
        }
      }

      // An endpoint that is left alone needs no announcement; what others rotated was adopted above.
      if (breaker.remainingMs > 0) return breakerHolds(breaker.remainingMs);

      // Step 3: a store that cannot be written is found out here, before anything is spent.
      const announced = await announce(record, seed);
      if (announced === undefined) continue;
      const progress = { hasBegun: false };
      try {
        return await redeem(host, keeper, announced, gate, progress);
      } catch (thrown) {
        // Nothing was sent: it may begin again at once. Later it would be one try more than the provider was to see.
        if (!progress.hasBegun) throw thrown;
        return await ended(undefined, { kind: 'failed', error: toSidebearerError(thrown) });
      }
    }
  }

  function liveIntent(record: OpenRecord): Intent | undefined {
    const intent = record.stored?.intent;
    return intent !== undefined && intent.fingerprint === redeemableFingerprint(record) ? intent : undefined;
  }

  function announce(record: OpenRecord, seed: string | undefined): Promise<OpenRecord | undefined> {
    const refreshToken = seed ?? record.tokens?.refreshToken ?? '';
    const intentUnder = (salt: string): Intent => ({
      fingerprint: fingerprint(salt, refreshToken),
      owner,
      since: clock.wallMs(),
    });
    if (seed === undefined) {
      const intent = intentUnder(record.stored?.salt ?? '');
      return records.commit(records.prepare(record, { ...unclearEnd(record), intent }));
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

  /** Steps 4 to 7: from the first attempt to the durable record. @throws store_* */
  async function redeem(
    host: RenewalHost,
    keeper: LeaseKeeper,
    announced: OpenRecord,
    gate: Gate,
    progress: { hasBegun: boolean },
  ): Promise<RenewalResult | 'lease lost'> {
    const refreshToken = announced.tokens?.refreshToken ?? '';
    const ownFingerprint = redeemableFingerprint(announced);
    let base = announced;
    let hasRetriedUnclear = false;

    /** Step 4: someone may have rotated while we backed off. */
    const isStillStored = async (): Promise<boolean> => {
      base = await records.read();
      return base.tokens?.refreshToken === refreshToken;
    };
    const attempt = (): Promise<TokenAnswer> => {
      progress.hasBegun = true;
      return provider.refresh(refreshToken, {
        timeoutMs: options.timeoutMs,
        mayBegin: () => keeper.isSafe() && !host.stopping.aborted,
      });
    };

    for (;;) {
      const result = await runAttempts(
        options.attempts,
        {
          clock,
          breaker,
          stopping: host.stopping,
          random,
          spends: true,
          isEarly: host.isEarly,
          requested: (result) => observer.tokenRequested(credential, 'refresh_token', result),
        },
        isStillStored,
        attempt,
      );
      if (result.kind === 'answered') {
        gate.leave();
        memory.unclearFingerprint = undefined;
        return await keepAnswer(host, base, result.answer, refreshToken);
      }
      const isUnclear = result.kind === 'failed' && result.error.row.outcome === 'unknown';
      const isFirstUnclear = isUnclear && !hasRetriedUnclear;
      if (isUnclear) {
        memory.unclearFingerprint = ownFingerprint;
        hasRetriedUnclear = true;
      }
      if (isFirstUnclear && options.unclear === 'hold') {
        // Before anything that may fail, and also where the process stops: nobody else may send before its time.
        const holding = await hold(base, result.error, host);
        if (holding !== undefined) return holding;
      }
      let isStored: boolean;
      try {
        isStored = await isStillStored();
      } catch (thrown) {
        // A pause of the store's ends as soon as it answers, and the next try would come with it.
        if (isUnclear) return await ended(undefined, { kind: 'failed', error: result.error });
        throw thrown;
      }
      if (!isStored) return supersededBy(base, host);
      if (result.kind === 'ended') return await ended(base, { kind: 'stopped' });
      const { error } = result;
      if (error.code === 'lease_lost') {
        await withdrawIntent(base);
        return host.stopping.aborted ? { kind: 'stopped' } : 'lease lost';
      }
      if (isFirstUnclear && !host.stopping.aborted) continue;
      if (error.code.startsWith('grant_')) {
        const code = hadUnclearEnd(base) ? 'refresh_outcome_unknown' : error.code;
        return await die(base, new SidebearerError(code, { ...error.details, credential }), host);
      }
      return await ended(
        base,
        error.code === 'breaker_open' ? breakerHolds(error.details.retryAfterMs ?? 0) : { kind: 'failed', error },
      );
    }
  }

  /** Step 6: durable, then published. A conflict never drops tokens. */
  async function keepAnswer(
    host: RenewalHost,
    announced: OpenRecord,
    answer: TokenAnswer,
    redeemed: string,
  ): Promise<RenewalResult> {
    for (const { code, field } of answer.warnings) {
      observer.failed(new SidebearerError(code, { credential, reason: `the field is ${field}` }), credential);
    }
    let prepared = prepareAnswer(announced, answer);
    let isDirty = false;
    let hasFailed = false;
    /** Step 7: the lease and the intent keep everyone else from the spent token meanwhile. */
    const serveFromMemory = (): void => {
      if (isDirty) return;
      isDirty = true;
      observer.dirtyChanged(credential, true);
      const unsaved = currentOf({ ...prepared.base, stored: prepared.stored, tokens: prepared.tokens });
      if (unsaved !== undefined) host.publish(unsaved, false);
    };
    let pauseMs = FIRST_COMMIT_RETRY_MS;
    const slow = clock.after(COMMIT_PATIENCE_MS, serveFromMemory, { background: true });
    try {
      for (;;) {
        let durable: OpenRecord | undefined;
        try {
          durable = await records.commit(prepared);
          if (durable === undefined) {
            const stored = await records.read();
            if (holdsAnswer(stored, prepared)) durable = stored;
            else if (stored.tokens?.refreshToken !== redeemed) return await superseded(stored, answer, host);
            else prepared = prepareAnswer(stored, answer);
          }
        } catch (thrown) {
          if (!hasFailed) observer.failed(toSidebearerError(thrown), credential);
          hasFailed = true;
          serveFromMemory();
          // How long a stop waits for it is the stop's business: by itself it keeps no process alive.
          await sleep(clock, pauseMs, undefined, { background: true });
          pauseMs = Math.min(pauseMs * 2, LONGEST_COMMIT_RETRY_MS);
        }
        if (durable !== undefined) {
          const token = currentOf(durable);
          if (token !== undefined) host.publish(token, true);
          if (answer.accessToken !== undefined) return { kind: 'refreshed' };
          const malformed = answer.warnings.some(({ code }) => code === 'access_token_malformed');
          const code = malformed ? 'access_token_malformed' : 'token_endpoint_malformed';
          return { kind: 'failed', error: new SidebearerError(code, { credential }) };
        }
      }
    } finally {
      slow.cancel();
      if (isDirty) observer.dirtyChanged(credential, false);
    }
  }

  function prepareAnswer(base: OpenRecord, answer: TokenAnswer): PreparedCommit {
    const tokens = mergeAnswer(base.tokens, answer);
    return records.prepare(base, (salt) => ({
      tokens,
      account: mergeAccount(base.stored?.account, answer.account),
      intent: undefined,
      dead: undefined,
      unclear: wasOvertaken(base) ? { fingerprint: fingerprint(salt, tokens.refreshToken ?? '') } : undefined,
    }));
  }

  /**
   * Another took the lease while our answer was on its way, and may have redeemed the same token: a family that turns
   * out dead has died of that.
   */
  function wasOvertaken({ stored }: OpenRecord): boolean {
    return stored?.dead !== undefined || stored?.intent?.owner !== owner;
  }

  /** The write went through after all, and somebody has written since: our tokens are what is stored. */
  function holdsAnswer(stored: OpenRecord, prepared: PreparedCommit): boolean {
    const ours = prepared.tokens;
    const before = prepared.base.tokens;
    if (stored.tokens?.refreshToken !== ours?.refreshToken) return false;
    if (ours?.refreshToken !== before?.refreshToken) return true;
    return ours?.accessToken !== before?.accessToken && stored.tokens?.accessToken === ours?.accessToken;
  }

  async function superseded(stored: OpenRecord, answer: TokenAnswer, host: RenewalHost): Promise<RenewalResult> {
    observer.failed(new SidebearerError('refresh_superseded', { credential }), credential);
    // Only after a logout: elsewhere, revoking ours could take the newer grant with it.
    if (stored.tokens === undefined) {
      const { refreshToken, accessToken } = answer;
      const ours = {
        ...(refreshToken !== undefined && { refreshToken }),
        ...(accessToken !== undefined && { accessToken }),
      };
      await provider.revoke?.(ours).catch(() => undefined);
      return emptied(host);
    }
    adopt(stored, host);
    return { kind: 'superseded' };
  }

  function supersededBy(stored: OpenRecord, host: RenewalHost): RenewalResult {
    if (stored.tokens === undefined) return emptied(host);
    return adopt(stored, host) === 'enough' ? { kind: 'adopted' } : { kind: 'superseded' };
  }

  // --- ends -----------------------------------------------------------------------------------------------------

  function emptied(host: RenewalHost): RenewalResult {
    host.drop('grant_absent');
    return { kind: 'absent' };
  }

  /** An access token alone: it is used to its end, then a login is needed. */
  function withoutRefreshToken(): RenewalResult {
    return { kind: 'dead', error: new SidebearerError('no_refresh_token', { credential }) };
  }

  function held(forMs: number): RenewalResult {
    return { kind: 'held', error: new SidebearerError('refresh_held', { credential }), forMs };
  }

  function breakerHolds(forMs: number): RenewalResult {
    return { kind: 'held', error: new SidebearerError('breaker_open', { credential, retryAfterMs: forMs }), forMs };
  }

  /**
   * `refresh.unclear: hold`: the second try waits until the token in hand is about to expire; undefined where that
   * is now.
   */
  async function hold(
    record: OpenRecord,
    cause: SidebearerError,
    host: RenewalHost,
  ): Promise<RenewalResult | undefined> {
    const holdUntil = (record.tokens?.expiresAtMs ?? 0) - 2 * leaseMs;
    const fingerprint = redeemableFingerprint(record);
    if (fingerprint === undefined) return undefined;
    const intent: Intent = { fingerprint, owner, since: clock.wallMs(), holdUntil };
    if (holdUntil > clock.wallMs()) observer.failed(cause, credential);
    for (let isFirst = true; holdUntil > clock.wallMs() && (isFirst || !host.stopping.aborted); isFirst = false) {
      try {
        const superseding = await amend(record, () => ({ intent }));
        return superseding === undefined ? held(holdUntil - clock.wallMs()) : supersededBy(superseding, host);
      } catch {
        // The lease goes on meanwhile, so that nobody sends before they can know. Each failed write was counted.
        await sleep(clock, LONGEST_COMMIT_RETRY_MS, host.stopping);
      }
    }
    return undefined;
  }

  async function die(record: OpenRecord, error: SidebearerError, host: RenewalHost): Promise<RenewalResult> {
    const dead = { fingerprint: redeemableFingerprint(record) ?? '', code: error.code, at: clock.wallMs() };
    try {
      // `unclear` stays: a holder that was frozen may come with the same answer later, and must give the same name.
      const superseding = await amend(record, () => ({ dead, intent: undefined }));
      if (superseding !== undefined) return supersededBy(superseding, host);
    } catch (thrown) {
      // It is dead all the same; what cannot be written is asked for once more after a restart.
      observer.failed(toSidebearerError(thrown), credential);
    }
    return { kind: 'dead', error };
  }

  /** A refresh that ends leaves no intent behind, whatever its outcome. */
  async function ended(record: OpenRecord | undefined, result: RenewalResult): Promise<RenewalResult> {
    await withdrawIntent(record);
    return result;
  }

  /** @param known the record as it was read last; undefined: read it */
  async function withdrawIntent(known: OpenRecord | undefined): Promise<void> {
    try {
      const record = known ?? (await records.read());
      if (!isWithdrawable(record)) return;
      await amend(record, (now) => (isWithdrawable(now) ? { ...unclearEnd(now), intent: undefined } : {}));
    } catch {
      // Others wait for it once, then replace it. The failed write is counted where it happened.
    }
  }

  /** Ours, and not one that holds everyone back on purpose. */
  function isWithdrawable({ stored }: OpenRecord): boolean {
    return stored?.intent?.owner === owner && stored.intent.holdUntil === undefined;
  }

  /**
   * Commits what goes with the refresh token in `record`, whoever else writes meanwhile. Undefined: it is done; else
   * the record that holds another refresh token by now.
   */
  async function amend(record: OpenRecord, change: (now: OpenRecord) => RecordChange): Promise<OpenRecord | undefined> {
    let now = record;
    for (let round = 0; round < COMMIT_ROUNDS; round += 1) {
      if ((await records.commit(records.prepare(now, change(now)))) !== undefined) return undefined;
      now = await records.read();
      if (now.tokens?.refreshToken !== record.tokens?.refreshToken) return now;
    }
    throw new SidebearerError('store_write_failed', { credential, reason: 'other writers were always first' });
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

    async read(): Promise<Reading> {
      const record = await records.read();
      if (newSeed(record) !== undefined) return { kind: 'grant', isNew: true };
      const death = deathOf(record);
      const token = records.isBoundHere(record) ? currentOf(record) : undefined;
      if (death !== undefined) return { kind: 'dead', error: death, token };
      if (token === undefined) return { kind: 'empty', code: 'grant_absent' };
      return token.tokens.accessToken === undefined ? { kind: 'grant' } : { kind: 'token', token };
    },

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
        const token = committed === undefined ? undefined : currentOf(committed);
        if (token === undefined) continue;
        const superseded = base.tokens?.refreshToken;
        if (options.revokeSuperseded && superseded !== undefined && superseded !== tokens.refreshToken) {
          await provider.revoke?.({ refreshToken: superseded }).catch(() => undefined);
        }
        return token;
      }
      throw new SidebearerError('store_write_failed', { credential, reason: 'other writers were always first' });
    },

    logout: createLogout(options),
  };
}
