// One credential at work: holds the state, gives requests their headers, and runs at most one renewal at a time.
// A renewal belongs to nobody: no client, page, probe or shutdown that asked for it can cancel it.
import type { Clock } from '../clock.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { LimitReader, Provider, Quota, TokenAnswer, UpstreamLimit } from '../providers/provider.ts';
import { type Advice, createAdvice } from './advice.ts';
import { isUnreached } from './attempts.ts';
import type {
  AnswerWatch,
  Authorization,
  CredentialStatus,
  ImportedTokens,
  ManagedCredential,
  Pause,
  Revocation,
} from './bearer.ts';
import {
  type CredentialEvent,
  type CredentialState,
  initialState,
  isDue,
  isUsable,
  type Moment,
  type Need,
  nextAttemptWallMs,
  onDemand,
  onNeed,
  type PausePolicy,
  publishedState,
  reluctance,
  restOf,
  transition,
} from './credential.ts';
import { answerOfImport } from './imported-tokens.ts';
import type { Injection } from './injection.ts';
import { dueAtMs, type LeadPolicy } from './lead.ts';
import type { CredentialObserver, RefreshTrigger } from './observer.ts';
import type { PoolMember } from './pool.ts';
import { createReadings, type Readings } from './readings.ts';
import type { Reading, RenewalHost, RenewalResult, TokenSource } from './renewal.ts';
import type { Schedule } from './schedule.ts';
import type { TokenCache } from './token-cache.ts';
import { createTokenInHand, type TokenInHand } from './token-in-hand.ts';
import type { CurrentToken } from './token-set.ts';
import { createWaitingRoom, type WaitingRoom } from './waiting-room.ts';

/** What a credential's settings make of it. A reload may put another in its place. */
export interface CredentialSlice {
  readonly source: TokenSource;
  readonly injection: Injection;
  readonly pauses: PausePolicy;
  readonly lead: LeadPolicy;
  readonly wait: { readonly timeoutMs: number; readonly places: number };
  /** How its upstreams tell of limits; absent: nobody looks. */
  readonly limits?: LimitReader | undefined;
  /** @see Provider.completeImport */
  readonly completeImport?: NonNullable<Provider['completeImport']>;
  /** What to do where a login would help and none can be had here; undefined: log in. */
  readonly insteadOfLogin?: string | undefined;
}

export interface RefresherOptions extends CredentialSlice {
  readonly name: string;
  readonly cache: TokenCache;
  readonly schedule: Schedule;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observer: CredentialObserver;
}

/** Two scheduled renewals are never closer than this, ms: a provider of one-second tokens must not be hammered. */
const LEAST_INTERVAL_MS = 1_000;
/** The rest after a limit that does not say for how long, ms. */
const REST_MS = 60_000;

export class Refresher implements ManagedCredential, PoolMember {
  readonly name: string;

  readonly #options: Omit<RefresherOptions, keyof CredentialSlice>;
  #slice: CredentialSlice;
  #answers: AnswerWatch | undefined;
  readonly #clock: Clock;
  readonly #hand: TokenInHand;
  readonly #waiting: WaitingRoom;
  readonly #readings: Readings;
  readonly #advice: Advice;
  readonly #host: RenewalHost;

  #state: CredentialState = initialState;
  #flight: Promise<RenewalResult> | undefined;
  /** Aborted: the renewal at work begins no further redeem. A new one for each renewal. */
  #flightEnd = new AbortController();
  /** The renewal at work began under settings whose tokens are none of ours any more. */
  #isFlightForeign = false;
  /** The settings were changed to a seed that is to be redeemed, good as the token in hand is. */
  #hasNewSeed = false;
  #logout: Promise<Revocation> | undefined;
  #isStopping = false;
  /** The generation that the upstream refused: a renewal must bring another. */
  #refusedGeneration: number | undefined;
  /** The one that a person wants replaced, good as it is. */
  #outdatedGeneration: number | undefined;
  #lastRefreshAtMs: number | undefined;
  /** Monotonic ms. */
  #lastEndAtMs = Number.NEGATIVE_INFINITY;
  #lastError: CredentialStatus['lastError'];
  #quota: Quota | undefined;
  #loading: Promise<void> | undefined;
  #isStarted = false;
  /** The store was read, and the provider heard, once: from then on silence is an outage, and no late network. */
  #hasRead = false;
  #hasHeard = false;

  constructor(options: RefresherOptions) {
    this.#options = options;
    this.#slice = options;
    this.name = options.name;
    this.#clock = options.clock;
    this.#hand = createTokenInHand(options.name, options.cache, options.clock);
    this.#waiting = createWaitingRoom(() => this.#slice.wait, options.clock);
    this.#advice = createAdvice(options.name, () => this.#slice.insteadOfLogin);
    this.#readings = createReadings(
      {
        isBusy: () => this.#flight !== undefined,
        take: (reading) => this.#take(reading),
        emptied: ({ code }) => {
          this.#drop(code);
          this.#waiting.end();
        },
        unreadable: (error) => this.#unreadable(error),
      },
      options.clock,
    );
    this.#answers = this.#watchQuota();
    const endOfFlight = (): AbortSignal => this.#flightEnd.signal;
    this.#host = {
      // What a renewal says of a grant that a login has replaced meanwhile comes too late.
      publish: (token, isDurable) => {
        if (!this.#isFlightForeign && (isDurable || this.#isRenewing())) this.#publish(token, isDurable);
      },
      drop: (code) => {
        if (!this.#isFlightForeign && this.#isRenewing()) this.#drop(code);
      },
      isEnough: (token) => this.#isEnough(token),
      isValidFor: (ms) => this.#hand.isValidFor(ms),
      isUrgent: () => this.#waiting.size > 0,
      isEarly: () => !this.#hasHeard && this.#state.token.kind === 'none',
      get stopping() {
        return endOfFlight();
      },
    };
  }

  get injectedNames(): readonly string[] {
    return this.#slice.injection.names;
  }

  get login(): ManagedCredential['login'] {
    return this.#slice.source.login;
  }

  get device(): ManagedCredential['device'] {
    return this.#slice.source.device;
  }

  get answers(): AnswerWatch | undefined {
    return this.#answers;
  }

  // --- requests -------------------------------------------------------------------------------------------------

  authorization(): Authorization | undefined {
    return this.#hand.authorization();
  }

  wait(signal: AbortSignal): Promise<Authorization> {
    const ready = this.authorization();
    if (ready !== undefined) return Promise.resolve(ready);
    const need = onNeed(this.#state, this.#now());
    if (need.kind === 'fail') return Promise.reject(this.#advice.error(need.code, need.retryAfterMs));
    if (need.start && !this.#startRenewal('demand'))
      return Promise.reject(this.#advice.error('access_token_expired', 1_000));
    return this.#waiting.join(
      signal,
      () => this.authorization(),
      () => {
        const then = onNeed(this.#state, this.#now());
        throw then.kind === 'fail'
          ? this.#advice.error(then.code, then.retryAfterMs)
          : this.#advice.error('access_token_expired', 1_000);
      },
    );
  }

  async renewed(refused: Authorization, signal: AbortSignal): Promise<Authorization | undefined> {
    const newer = (): Authorization | undefined => {
      const current = this.authorization();
      return current?.generation === refused.generation ? undefined : current;
    };
    const current = newer();
    if (current !== undefined) return current;
    this.#options.observer.tokenRefused(this.name);
    for (;;) {
      const demand = onDemand(this.#state, this.#now());
      if (demand === 'pass') return undefined;
      if (demand === 'refused') {
        this.replayed(refused, false);
        return undefined;
      }
      this.#refusedGeneration = refused.generation;
      if (demand === 'start' && !this.#startRenewal('demand')) return undefined;
      const renewed = await this.#waiting.join(signal, newer, () => undefined);
      // A renewal that was joined may be the very one that brought the refused token, in its last steps: then another.
      if (renewed !== undefined || demand === 'start') return renewed;
    }
  }

  replayed(sent: Authorization, accepted: boolean): void {
    const paused = this.#state.demandPause;
    this.#apply({ type: accepted ? 'accepted' : 'refused', generation: sent.generation });
    if (!accepted && this.#state.demandPause !== paused) {
      this.#fail(new SidebearerError('access_token_refused', { credential: this.name }));
      this.#options.observer.failed(new SidebearerError('access_token_refused', { credential: this.name }), this.name);
    }
  }

  // --- in a pool ------------------------------------------------------------------------------------------------

  get limits(): LimitReader | undefined {
    return this.#slice.limits;
  }

  reluctance(): number {
    const { grant, demandPause, rest } = this.#state;
    // Nearly always: without a look at the clock.
    if (rest === undefined && demandPause === undefined && grant.kind !== 'dead') return 0;
    return reluctance(this.#state, this.#now());
  }

  need(): Need {
    return onNeed(this.#state, this.#now());
  }

  rest({ isQuota, forMs = REST_MS }: UpstreamLimit): void {
    const code = isQuota ? 'upstream_quota_exhausted' : 'upstream_limited';
    const before = restOf(this.#state, this.#now());
    this.#apply({ type: 'limited', code, forMs });
    const now = this.#now();
    const after = restOf(this.#state, now);
    // A crowd is limited at once: that is one rest.
    if (after === undefined || before?.code === after.code) return;
    this.#options.observer.failed(this.#advice.error(after.code, after.untilMs - now.monotonicMs), this.name);
  }

  /** Quotas are shown for whoever has them, pool or not. */
  #watchQuota(): AnswerWatch | undefined {
    const { limits } = this.#slice;
    if (limits?.quota === undefined) return undefined;
    return {
      head: (_sent, _status, rawHeaders) => {
        this.#quota = limits.quota?.(rawHeaders) ?? this.#quota;
        return false;
      },
      body: () => undefined,
    };
  }

  // --- administration -------------------------------------------------------------------------------------------

  async accept(tokens: TokenAnswer, options: { replaceAccount: boolean }): Promise<void> {
    const { source } = this.#slice;
    const token = await source.accept(tokens, options);
    this.#readings.overtake();
    // The settings were changed meanwhile: whether it is theirs, too, what is stored tells.
    if (source !== this.#slice.source) return await this.#readings.again();
    this.#refusedGeneration = undefined;
    this.#lastError = undefined;
    this.#quota = undefined;
    this.#replace(token, true);
    this.#apply({ type: 'loggedIn' });
    this.#waiting.serve();
  }

  async importTokens(imported: ImportedTokens, options: { replaceAccount: boolean }): Promise<void> {
    const answer = answerOfImport(imported, this.#clock.wallMs(), this.name);
    await this.accept(this.#slice.completeImport?.(answer) ?? answer, options);
  }

  async refresh(): Promise<'refreshed' | 'adopted' | 'superseded'> {
    await this.#logout?.catch(() => undefined);
    // What cannot be refreshed may have become so without our notice.
    if (this.#lack() !== undefined && this.#flight === undefined) await this.#readings.again();
    const lack = this.#lack();
    if (lack !== undefined) throw this.#advice.error(lack, undefined);
    const { token } = this.#state;
    if (this.#flight === undefined && token.kind === 'held') this.#outdatedGeneration = token.generation;
    const slice = this.#slice;
    const result = this.#startRenewal('manual') ? await this.#flight : undefined;
    if (result?.kind === 'stopped' && slice !== this.#slice) return await this.refresh();
    switch (result?.kind) {
      case 'refreshed':
      case 'adopted':
      case 'superseded':
        return result.kind;
      case 'absent':
        throw this.#advice.error('grant_absent', undefined);
      case 'dead':
      case 'failed':
      case 'held':
        throw this.#advice.advised(result.error);
      default:
        throw this.#advice.error(this.#isStopping ? 'sidecar_stopping' : 'refresh_superseded', undefined);
    }
  }

  resume(): readonly Pause[] {
    const lack = this.#lack();
    if (lack !== undefined) throw this.#advice.error(lack, undefined);
    const { grant, demandPause } = this.#state;
    const isGuarded = grant.kind === 'cooling' && this.#isGuarded(grant.code);
    const isCooling = grant.kind === 'cooling' && !isGuarded;
    const ended: readonly Pause[] = [
      ...(isCooling ? (['cooling'] as const) : []),
      ...(demandPause === undefined ? [] : (['refused'] as const)),
      ...(restOf(this.#state, this.#now()) === undefined ? [] : (['resting'] as const)),
    ];
    if (isGuarded && ended.length === 0)
      throw this.#advice.error(grant.code, grant.untilMs - this.#clock.monotonicMs());
    this.#apply({ type: 'resumed', endsCooling: isCooling });
    return ended;
  }

  logout(): Promise<Revocation> {
    this.#logout ??= this.#endGrant().finally(() => {
      this.#logout = undefined;
      this.#plan();
      this.#waiting.end();
      this.#readings.settle();
    });
    return this.#logout;
  }

  async #endGrant(): Promise<Revocation> {
    if (this.#isStopping) throw this.#advice.error('sidecar_stopping', undefined);
    this.#flightEnd.abort();
    const { turn } = this.#readings;
    const revocation = await this.#slice.source.logout(this.#flight);
    // A login that came meanwhile may stand above the tombstone, or below it: the store knows.
    if (this.#readings.turn !== turn) this.#readings.owe();
    else this.#drop('grant_absent');
    return revocation;
  }

  /** Why nothing can be refreshed; undefined where something can. */
  #lack(): ErrorCode | undefined {
    const { grant } = this.#state;
    return grant.kind === 'absent' || grant.kind === 'dead' ? grant.code : undefined;
  }

  /** A pause that is no person's to end: the provider is down, or a second try could cost the grant. */
  #isGuarded(code: ErrorCode): boolean {
    return code === 'refresh_held' || (code === 'breaker_open' && this.#slice.source.breaker === 'open');
  }

  status(): CredentialStatus {
    const now = this.#now();
    const { source } = this.#slice;
    const { grant, token } = this.#state;
    const { tokens, account } = this.#hand;
    const rest = restOf(this.#state, now);
    const nextAtMs = nextAttemptWallMs(this.#state, now);
    return {
      name: this.name,
      provider: source.provider,
      grant: source.grant,
      state: publishedState(this.#state, now),
      usable: this.authorization() !== undefined,
      generation: token.kind === 'held' ? token.generation : 0,
      isDirty: this.#hand.isUnsaved,
      waiting: this.#waiting.size,
      breaker: source.breaker,
      ...(account !== undefined && { account }),
      ...(tokens?.expiresAtMs !== undefined && { expiresAtMs: tokens.expiresAtMs }),
      ...(tokens?.grantExpiresAtMs !== undefined && { grantExpiresAtMs: tokens.grantExpiresAtMs }),
      ...(tokens !== undefined && { obtainedAtMs: tokens.obtainedAtMs }),
      ...(Number.isFinite(nextAtMs) && { refreshDueAtMs: nextAtMs }),
      ...(grant.kind === 'cooling' && { coolingUntilMs: now.wallMs + Math.max(grant.untilMs - now.monotonicMs, 0) }),
      ...(rest !== undefined && {
        resting: { code: rest.code, untilMs: now.wallMs + rest.untilMs - now.monotonicMs },
      }),
      ...(this.#quota !== undefined && { quota: this.#quota }),
      ...(this.#lastRefreshAtMs !== undefined && { lastRefreshAtMs: this.#lastRefreshAtMs }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
    };
  }

  // --- life -----------------------------------------------------------------------------------------------------

  /** Reads what is stored, once, and follows it from then on; sends nothing. Never rejects. */
  load(): Promise<void> {
    this.#loading ??= this.#followSource();
    return this.#loading;
  }

  #followSource(): Promise<void> {
    // Followed first: a change between the reading and the following would be seen by nobody.
    this.#readings.follow(this.#slice.source);
    return this.#readings.again();
  }

  /** Loads, and renews from now on: at once what is due. A second start does nothing. Never rejects. */
  async start(): Promise<void> {
    await this.load();
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#renewIfDue();
  }

  #renewIfDue(): void {
    this.#plan();
    if (!this.#isStarted || this.#state.grant.kind !== 'ok') return;
    const isDueNow = this.#hasNewSeed || this.#state.token.kind === 'none' || isDue(this.#state, this.#now());
    if (isDueNow) this.#startRenewal('startup');
  }

  /**
   * Goes on under other settings. Who waits here goes on waiting; a redeem that was sent ends under the settings it was
   * begun with and is committed; none begins under them any more, and every pause that they had earned is over.
   * @param reading what `slice.source` reads now: asked beforehand, so that no request meets a credential that knows
   *   nothing yet
   * @param keepsToken the token in hand is what these settings would obtain, too
   */
  reconfigure(slice: CredentialSlice, reading: Reading | SidebearerError, keepsToken: boolean): void {
    this.#slice = slice;
    this.#answers = this.#watchQuota();
    this.#isStopping = false;
    this.#lastError = undefined;
    this.#readings.follow(slice.source);
    this.#flightEnd.abort();
    if (!keepsToken) this.#forget();
    this.#apply({ type: 'reconfigured', keepsToken });
    this.#renderAgain();
    this.#isFlightForeign = this.#flight !== undefined && (this.#isFlightForeign || !keepsToken);
    this.#hasNewSeed = !(reading instanceof SidebearerError) && reading.kind === 'grant' && reading.isNew === true;
    // What is at work reads by itself, or ends in a state of its own: then it is looked at again.
    if (this.#flight !== undefined || this.#logout !== undefined) this.#readings.owe();
    else if (reading instanceof SidebearerError) this.#readings.failed(reading);
    else this.#take(reading);
    this.#serveAnew();
  }

  /** Reads again what failed with `code`, whose cause is gone; a pause that it began is over. */
  lookAgain(code: ErrorCode): void {
    if (this.#lastError?.code !== code || this.#isStopping) return;
    if (this.#state.grant.kind === 'cooling' && this.#flight === undefined) this.#apply({ type: 'loggedIn' });
    void this.#readings.again().then(() => this.#serveAnew());
  }

  /** After a change of settings: whoever waits is served by what is there, or by a renewal, or hears why not. */
  #serveAnew(): void {
    if (this.#flight !== undefined || this.#logout !== undefined) return;
    this.#renewIfDue();
    const need = onNeed(this.#state, this.#now());
    if (this.#waiting.size > 0 && need.kind === 'wait' && need.start) this.#startRenewal('demand');
    if (this.#flight === undefined) this.#waiting.end();
  }

  /** The schedule's call: the token is due, or a pause has ended. */
  due(): void {
    const now = this.#now();
    // Pauses are monotonic: a jump of the wall clock, by which the schedule goes, ends none.
    if (nextAttemptWallMs(this.#state, now) > now.wallMs) this.#plan();
    else this.#startRenewal('schedule');
  }

  /** No renewal begins any more; resolves when the one that was sent, and its commit, have ended. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#flightEnd.abort();
    this.#readings.close();
    this.#options.schedule.remove(this.name);
    await Promise.all([this.#flight, this.#logout?.catch(() => undefined)]);
  }

  /** False where the process is stopping. */
  #startRenewal(trigger: RefreshTrigger): boolean {
    if (this.#flight !== undefined || this.#logout !== undefined) return true;
    if (this.#isStopping) return false;
    this.#flightEnd = new AbortController();
    this.#isFlightForeign = false;
    this.#hasNewSeed = false;
    this.#apply({ type: 'started', trigger });
    this.#flight = this.#renew(trigger);
    return true;
  }

  async #renew(trigger: RefreshTrigger): Promise<RenewalResult> {
    const startedAtMs = this.#clock.monotonicMs();
    const slice = this.#slice;
    let result: RenewalResult;
    try {
      result = await slice.source.renew(this.#host, trigger);
    } catch (thrown) {
      // A defect, not an outcome; the credential must not stay `refreshing` for ever.
      result = { kind: 'failed', error: toSidebearerError(thrown) };
    }
    // One that comes from other settings says nothing of these, and what was asked of it is asked again.
    const isOld = slice !== this.#slice;
    this.#flight = undefined;
    if (!isOld) {
      this.#refusedGeneration = undefined;
      this.#outdatedGeneration = undefined;
    }
    this.#lastEndAtMs = this.#clock.monotonicMs();
    // A login that came meanwhile has moved the state on: this result is about a grant that is no longer there.
    if (this.#isRenewing()) this.#settle(isOld ? { kind: 'stopped' } : result);
    this.#plan();
    this.#report(result, trigger, this.#clock.monotonicMs() - startedAtMs);
    if (isOld && !this.#isStopping) {
      void this.#readings.again().then(() => this.#serveAnew());
      return result;
    }
    this.#waiting.end();
    this.#readings.settle();
    return result;
  }

  #settle(result: RenewalResult): void {
    const isSilent = result.kind === 'held' || (result.kind === 'failed' && isSilence(result.error));
    const isEarly = isSilent && this.#host.isEarly();
    if (!isSilent && result.kind !== 'stopped') this.#hasHeard = true;
    switch (result.kind) {
      case 'refreshed':
      case 'adopted':
        this.#lastRefreshAtMs = this.#clock.wallMs();
        this.#lastError = undefined;
        this.#apply({ type: 'ended' });
        break;
      case 'superseded':
      case 'stopped':
      case 'absent':
        this.#apply({ type: 'ended' });
        break;
      case 'dead':
        this.#fail(result.error);
        this.#apply({ type: 'died', code: result.error.code });
        break;
      case 'failed': {
        const { code, details } = result.error;
        this.#fail(result.error);
        const isClient = code === 'client_rejected';
        this.#apply({ type: 'failed', code, leastPauseMs: details.retryAfterMs ?? 0, isClient, isEarly });
        break;
      }
      case 'held':
        // An open breaker hides what opened it; the page goes on showing the cause.
        if (this.#lastError === undefined) this.#fail(result.error);
        this.#apply({ type: 'held', code: result.error.code, forMs: result.forMs });
        break;
    }
  }

  #report(result: RenewalResult, trigger: RefreshTrigger, durationMs: number): void {
    if (result.kind === 'stopped') return;
    const error =
      'error' in result
        ? this.#advice.advised(result.error)
        : result.kind === 'absent'
          ? this.#advice.error('grant_absent', undefined)
          : undefined;
    const isUnknown = error?.code === 'refresh_outcome_unknown' || error?.row.outcome === 'unknown';
    const nextAtMs = nextAttemptWallMs(this.#state, this.#now());
    const expiresAtMs = this.#hand.tokens?.expiresAtMs;
    this.#options.observer.refreshEnded(this.name, {
      trigger,
      durationMs,
      outcome:
        error === undefined
          ? (result.kind as 'refreshed' | 'adopted' | 'superseded')
          : isUnknown
            ? 'unknown'
            : 'failed',
      ...(error !== undefined && { error }),
      ...(expiresAtMs !== undefined && { expiresAtMs }),
      ...(Number.isFinite(nextAtMs) && { nextAttemptAtMs: nextAtMs }),
    });
  }

  // --- what is stored -------------------------------------------------------------------------------------------

  #take(reading: Reading): void {
    this.#hasRead = true;
    // The store answers again: a pause that its silence began is over.
    const { grant } = this.#state;
    const wasSilent = grant.kind === 'cooling' && grant.code === 'store_unavailable';
    switch (reading.kind) {
      case 'token':
        this.#publish(reading.token, true);
        if (wasSilent) this.#apply({ type: 'loggedIn' });
        break;
      case 'empty':
        this.#drop(reading.code);
        break;
      case 'grant':
        if (grant.kind === 'absent' || grant.kind === 'dead') this.#apply({ type: 'granted' });
        else if (wasSilent || (reading.isChanged === true && grant.kind === 'cooling'))
          this.#apply({ type: 'loggedIn' });
        break;
      case 'dead':
        if (reading.token !== undefined) this.#publish(reading.token, true);
        this.#fail(reading.error);
        // Found dead rather than seen to die, here or in an earlier life: told all the same, once.
        if (publishedState(this.#state, this.#now()) !== 'dead') {
          this.#options.observer.failed(this.#advice.advised(reading.error), this.name);
        }
        this.#apply({ type: 'died', code: reading.error.code });
        break;
    }
    this.#waiting.serve();
  }

  #unreadable(error: SidebearerError): boolean {
    this.#fail(error);
    this.#options.observer.failed(this.#advice.advised(error), this.name);
    const hasToken = this.#state.token.kind !== 'none';
    if (!hasToken && this.#flight === undefined) {
      const isEarly = !this.#hasRead && isSilence(error);
      this.#apply({ type: 'failed', code: error.code, leastPauseMs: 0, isClient: false, isEarly });
    }
    // With a token in hand nothing else would look for what changed: it may be a logout.
    return hasToken && !this.#isStopping;
  }

  // --- the token in hand ----------------------------------------------------------------------------------------

  #publish(token: CurrentToken, isDurable: boolean): void {
    // A refresh token alone (a seed) is something to renew with, and nothing to serve.
    if (token.tokens.accessToken === undefined) return;
    const held = this.#state.token;
    if (held.kind === 'held') {
      const isSame =
        held.generation === token.generation && this.#hand.tokens?.accessToken === token.tokens.accessToken;
      if (isSame && isDurable !== this.#hand.isUnsaved) return;
      // A read that began before our own commit ended may come late: it must not bring the older token back.
      if (token.generation < held.generation && isUsable(this.#state, this.#now())) return;
    }
    this.#replace(token, isDurable);
    this.#waiting.serve();
  }

  #replace(token: CurrentToken, isDurable: boolean): void {
    const { generation, tokens } = token;
    this.#apply({
      type: 'token',
      generation,
      usableUntilWallMs: this.#hand.put(token, isDurable, this.#slice.injection),
      dueAtWallMs: dueAtMs(tokens, this.#slice.lead, this.#options.random()),
      onDemand: this.#refusedGeneration !== undefined && this.#refusedGeneration !== generation,
    });
  }

  /** The token in hand, as the settings of now want it sent and renewed. */
  #renderAgain(): void {
    const { token } = this.#state;
    const { tokens, account, isUnsaved } = this.#hand;
    if (token.kind === 'none' || tokens === undefined) return;
    this.#replace({ generation: token.generation, tokens, ...(account !== undefined && { account }) }, !isUnsaved);
  }

  #drop(code: ErrorCode): void {
    this.#forget();
    this.#apply({ type: 'emptied', code });
  }

  #forget(): void {
    this.#hand.clear();
    this.#quota = undefined;
  }

  #isEnough({ generation }: CurrentToken): boolean {
    const { token } = this.#state;
    if (token.kind === 'none' || token.generation !== generation) return false;
    if (generation === this.#refusedGeneration || generation === this.#outdatedGeneration) return false;
    return this.authorization() !== undefined && !isDue(this.#state, this.#now());
  }

  // --- small things ---------------------------------------------------------------------------------------------

  #apply(event: CredentialEvent): void {
    const now = this.#now();
    this.#state = transition(this.#state, event, now, this.#slice.pauses);
    this.#plan();
  }

  /** Tells the schedule when to call: never before the start, nor after the stop. */
  #plan(): void {
    if (!this.#isStarted || this.#isStopping) return;
    const now = this.#now();
    const restMs = Math.max(this.#lastEndAtMs + LEAST_INTERVAL_MS - now.monotonicMs, 0);
    this.#options.schedule.set(this.name, Math.max(nextAttemptWallMs(this.#state, now), now.wallMs + restMs));
  }

  #isRenewing(): boolean {
    return this.#state.grant.kind === 'refreshing';
  }

  #now(): Moment {
    return { wallMs: this.#clock.wallMs(), monotonicMs: this.#clock.monotonicMs() };
  }

  #fail({ code, details }: SidebearerError): void {
    this.#lastError = {
      code,
      atMs: this.#clock.wallMs(),
      next: this.#advice.nextStep(code),
      ...(details.providerCode !== undefined && { providerCode: details.providerCode }),
    };
  }
}

/** Nothing was heard of the other side, store or provider. */
function isSilence(error: SidebearerError): boolean {
  return error.code === 'store_unavailable' || isUnreached(error);
}
