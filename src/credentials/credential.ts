// The life of a credential as a pure state machine: a grant, a token, and the pause after refused demands.
// It decides; it never waits, reads a clock or does I/O. Times are monotonic ms unless a name says wall.
import type { ErrorCode } from '../errors/catalogue.ts';
import type { PublishedState } from './bearer.ts';
import type { RefreshTrigger } from './observer.ts';

/** What the grant is able to do. */
export type GrantState =
  /** Nothing to obtain a token with; the code says what is missing. */
  | { readonly kind: 'absent'; readonly code: ErrorCode }
  | { readonly kind: 'ok' }
  /** A renewal is on its way, its waits included. */
  | { readonly kind: 'refreshing'; readonly trigger: RefreshTrigger }
  | CoolingState
  /** The provider declared the grant gone, or the record may not be used. */
  | { readonly kind: 'dead'; readonly code: ErrorCode };

export interface CoolingState {
  readonly kind: 'cooling';
  readonly code: ErrorCode;
  /** When the schedule tries again. */
  readonly untilMs: number;
  /** From when a request that finds no usable token may start an attempt; never after `untilMs`. */
  readonly demandFromMs: number;
}

/** The token in hand. Its text is not here: deciding needs none. */
export type TokenState =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'held';
      readonly generation: number;
      /** When it came into this process. */
      readonly sinceMs: number;
      /** From then on it counts as expired (Infinity: unknown end). */
      readonly usableUntilWallMs: number;
      /** When the schedule renews it (Infinity: never). */
      readonly dueAtWallMs: number;
      /** It came from a refresh on demand and no replay has told yet whether the upstream takes it. */
      readonly isOnProbation: boolean;
    };

/** Refreshes on demand are paused: the upstream refused a token that was fresh. */
export interface DemandPause {
  readonly refusals: number;
  readonly untilMs: number;
  readonly generation: number;
}

/** The upstream told of a limit: in pools others are taken meanwhile. */
export interface Rest {
  readonly code: ErrorCode;
  readonly untilMs: number;
}

export interface CredentialState {
  readonly grant: GrantState;
  readonly token: TokenState;
  readonly demandPause: DemandPause | undefined;
  readonly rest: Rest | undefined;
  /** Failed renewals in a row that found no usable token: what the pauses double with. */
  readonly failures: number;
}

export interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** How long failures pause. */
export interface PausePolicy {
  /** While a token is valid, and at most, ms. */
  readonly cooldownMs: number;
  /** `breaker.resetAfter`: the pace of attempts once the token has expired, ms. */
  readonly resetAfterMs: number;
  /** Cap of a `Retry-After`, ms: the provider's, and the upstream's. */
  readonly maxRetryAfterMs: number;
}

export type CredentialEvent =
  | { readonly type: 'started'; readonly trigger: RefreshTrigger }
  /** A token is current now: read from the store, refreshed, or logged in. */
  | {
      readonly type: 'token';
      readonly generation: number;
      readonly usableUntilWallMs: number;
      readonly dueAtWallMs: number;
      readonly onDemand: boolean;
    }
  /** The renewal ended well. */
  | { readonly type: 'ended' }
  /** Tokens and grant are gone: logged out, or never there. */
  | { readonly type: 'emptied'; readonly code: ErrorCode }
  /** There is a grant, and no token yet. */
  | { readonly type: 'granted' }
  /**
   * `leastPauseMs`: what a Retry-After asks for. `isClient`: the provider rejects the client. `isEarly`: nothing was
   * reached yet in this process's life, as where its pod's network comes up after it.
   */
  | {
      readonly type: 'failed';
      readonly code: ErrorCode;
      readonly leastPauseMs: number;
      readonly isClient: boolean;
      readonly isEarly?: boolean;
    }
  /** Nothing was tried, or the second try is held back: by an open breaker, or `refresh.unclear: hold`. */
  | { readonly type: 'held'; readonly code: ErrorCode; readonly forMs: number }
  | { readonly type: 'died'; readonly code: ErrorCode }
  /** Other settings from now on: no pause of the former ones holds, and their token only where it is theirs, too. */
  | { readonly type: 'reconfigured'; readonly keepsToken: boolean }
  /** A person logged in: every pause ends. */
  | { readonly type: 'loggedIn' }
  /** A person ended the pauses; not every cooling is theirs to end. */
  | { readonly type: 'resumed'; readonly endsCooling: boolean }
  /** The upstream refused the current token, though it is fresh. */
  | { readonly type: 'refused'; readonly generation: number }
  /** The upstream told of a limit, for so long. */
  | { readonly type: 'limited'; readonly code: ErrorCode; readonly forMs: number }
  /** The upstream took the token after a refresh on demand. */
  | { readonly type: 'accepted'; readonly generation: number };

/** A token refused within this time of a refresh on demand was refused fresh, ms. */
export const PROBATION_MS = 60_000;
/** The first pause of a process that has reached nothing yet; it doubles to the usual one, ms. */
const EARLY_PAUSE_MS = 1_000;
const FIRST_DEMAND_PAUSE_MS = 60_000;
const LONGEST_DEMAND_PAUSE_MS = 3_600_000;

export const initialState: CredentialState = {
  grant: { kind: 'absent', code: 'grant_absent' },
  token: { kind: 'none' },
  demandPause: undefined,
  rest: undefined,
  failures: 0,
};

/** The state after `event`. An event that no longer fits the state changes nothing. */
export function transition(
  state: CredentialState,
  event: CredentialEvent,
  now: Moment,
  policy: PausePolicy,
): CredentialState {
  switch (event.type) {
    case 'started':
      return { ...state, grant: { kind: 'refreshing', trigger: event.trigger } };
    case 'token':
      return {
        ...state,
        // Adopting another replica's token ends a pause or a death, but not the renewal that may still be running.
        grant: state.grant.kind === 'refreshing' ? state.grant : { kind: 'ok' },
        failures: state.grant.kind === 'refreshing' ? state.failures : 0,
        token: {
          kind: 'held',
          generation: event.generation,
          sinceMs: now.monotonicMs,
          usableUntilWallMs: event.usableUntilWallMs,
          dueAtWallMs: event.dueAtWallMs,
          isOnProbation: event.onDemand,
        },
      };
    case 'ended':
      return state.grant.kind === 'refreshing' ? { ...state, grant: { kind: 'ok' }, failures: 0 } : state;
    case 'emptied':
      return { ...initialState, grant: { kind: 'absent', code: event.code } };
    case 'granted':
      return { ...initialState, grant: { kind: 'ok' } };
    case 'failed':
      return {
        ...state,
        failures: isUsable(state, now) ? 0 : state.failures + 1,
        grant: cooling(state, event, now, policy),
      };
    case 'held': {
      const untilMs = now.monotonicMs + Math.max(event.forMs, 0);
      return { ...state, grant: { kind: 'cooling', code: event.code, untilMs, demandFromMs: untilMs } };
    }
    case 'died':
      return { ...state, grant: { kind: 'dead', code: event.code }, failures: 0 };
    case 'reconfigured': {
      const { token, rest } = event.keepsToken ? state : initialState;
      const grant: GrantState = token.kind === 'held' ? { kind: 'ok' } : initialState.grant;
      return { ...initialState, grant: state.grant.kind === 'refreshing' ? state.grant : grant, token, rest };
    }
    case 'loggedIn':
      return { ...state, grant: { kind: 'ok' }, failures: 0, demandPause: undefined, rest: undefined };
    case 'resumed':
      return {
        ...state,
        grant: state.grant.kind === 'cooling' && event.endsCooling ? { kind: 'ok' } : state.grant,
        failures: 0,
        demandPause: undefined,
        rest: undefined,
      };
    case 'limited': {
      const untilMs = now.monotonicMs + Math.min(Math.max(event.forMs, 0), policy.maxRetryAfterMs);
      // Answers come in any order: the one that asks for less does not shorten what another asked for.
      if (state.rest !== undefined && state.rest.untilMs >= untilMs) return state;
      return { ...state, rest: { code: event.code, untilMs } };
    }
    case 'refused':
      return refuse(state, event.generation, now);
    case 'accepted':
      if (state.token.kind !== 'held' || state.token.generation !== event.generation) return state;
      return { ...state, demandPause: undefined, token: { ...state.token, isOnProbation: false } };
  }
}

function cooling(
  state: CredentialState,
  event: Extract<CredentialEvent, { type: 'failed' }>,
  now: Moment,
  policy: PausePolicy,
): CoolingState {
  const leastPauseMs = Math.min(event.leastPauseMs, policy.maxRetryAfterMs);
  const usualMs = event.isClient ? policy.cooldownMs : Math.min(policy.cooldownMs, policy.resetAfterMs);
  const earlyMs = EARLY_PAUSE_MS * 2 ** Math.min(state.failures, 20);
  const shortMs = event.isEarly === true ? Math.min(earlyMs, usualMs) : usualMs;
  const doubledMs =
    event.isEarly === true ? shortMs : Math.min(shortMs * 2 ** Math.min(state.failures, 20), policy.cooldownMs);
  const pauseMs = isUsable(state, now) ? policy.cooldownMs : doubledMs;
  return {
    kind: 'cooling',
    code: event.code,
    untilMs: now.monotonicMs + Math.max(pauseMs, leastPauseMs),
    demandFromMs: now.monotonicMs + Math.max(shortMs, leastPauseMs),
  };
}

function refuse(state: CredentialState, generation: number, now: Moment): CredentialState {
  if (state.token.kind !== 'held' || state.token.generation !== generation) return state;
  // A crowd of requests is refused at once: within a running pause that is one refusal.
  if (isDemandPaused(state, now)) return state;
  const refusals = (state.demandPause?.refusals ?? 0) + 1;
  const pauseMs = Math.min(FIRST_DEMAND_PAUSE_MS * 2 ** Math.min(refusals - 1, 20), LONGEST_DEMAND_PAUSE_MS);
  return {
    ...state,
    token: { ...state.token, isOnProbation: false },
    demandPause: { refusals, generation, untilMs: now.monotonicMs + pauseMs },
  };
}

/** The rest that still lasts. */
export function restOf({ rest }: CredentialState, now: Moment): Rest | undefined {
  return rest !== undefined && now.monotonicMs < rest.untilMs ? rest : undefined;
}

/**
 * What speaks against the usable token in hand, for who has others to choose from: 0 nothing; then a grant that is
 * dead, a token that was refused, a rest by how long it lasts.
 */
export function reluctance(state: CredentialState, now: Moment): number {
  const rest = restOf(state, now);
  if (rest !== undefined) return 3 + rest.untilMs - now.monotonicMs;
  const { grant, token, demandPause } = state;
  if (token.kind === 'held' && demandPause?.generation === token.generation && isDemandPaused(state, now)) return 2;
  return grant.kind === 'dead' ? 1 : 0;
}

/** A token before its expiry. */
export function isUsable({ token }: CredentialState, now: Moment): boolean {
  return token.kind === 'held' && now.wallMs < token.usableUntilWallMs;
}

export function isDue({ token }: CredentialState, now: Moment): boolean {
  return token.kind === 'held' && now.wallMs >= Math.min(token.dueAtWallMs, token.usableUntilWallMs);
}

function isDemandPaused({ demandPause }: CredentialState, now: Moment): boolean {
  return demandPause !== undefined && now.monotonicMs < demandPause.untilMs;
}

/** The one word for metrics, pages and status: the first that holds. */
export function publishedState(state: CredentialState, now: Moment): PublishedState {
  const { grant, token, demandPause } = state;
  if (grant.kind === 'absent' || grant.kind === 'dead' || grant.kind === 'cooling' || grant.kind === 'refreshing') {
    return grant.kind;
  }
  if (token.kind === 'held' && demandPause?.generation === token.generation) return 'refused';
  return token.kind === 'none' || isDue(state, now) ? 'due' : 'fresh';
}

/** What a request without a usable token gets. */
export type Need =
  | { readonly kind: 'wait'; readonly start: boolean }
  | { readonly kind: 'fail'; readonly code: ErrorCode; readonly retryAfterMs: number | undefined };

/** For a request that finds no usable token. */
export function onNeed({ grant, token }: CredentialState, now: Moment): Need {
  switch (grant.kind) {
    case 'refreshing':
      return { kind: 'wait', start: false };
    case 'ok':
      return { kind: 'wait', start: true };
    case 'cooling':
      if (now.monotonicMs >= grant.demandFromMs) return { kind: 'wait', start: true };
      return {
        kind: 'fail',
        code: token.kind === 'held' ? 'access_token_expired' : grant.code,
        retryAfterMs: grant.demandFromMs - now.monotonicMs,
      };
    case 'dead':
      return { kind: 'fail', code: grant.code, retryAfterMs: undefined };
    case 'absent':
      return { kind: 'fail', code: grant.code, retryAfterMs: undefined };
  }
}

/** What to do about the upstream's 401 to the token that is still current. */
export type Demand = 'join' | 'start' | 'pass' | 'refused';

export function onDemand(state: CredentialState, now: Moment): Demand {
  const { grant, token } = state;
  if (grant.kind === 'refreshing') return 'join';
  if (grant.kind !== 'ok' || isDemandPaused(state, now)) return 'pass';
  if (token.kind === 'held' && token.isOnProbation && now.monotonicMs - token.sinceMs < PROBATION_MS) return 'refused';
  return 'start';
}

/** Wall ms of the next renewal by schedule (Infinity: none). */
export function nextAttemptWallMs({ grant, token }: CredentialState, now: Moment): number {
  switch (grant.kind) {
    case 'cooling': {
      const endsAt = now.wallMs + Math.max(grant.untilMs - now.monotonicMs, 0);
      if (token.kind === 'none' || now.wallMs >= token.usableUntilWallMs) return endsAt;
      // A long pause is for a token that is still valid: it ends when the token does.
      const paceFrom = now.wallMs + Math.max(grant.demandFromMs - now.monotonicMs, 0);
      return Math.min(endsAt, Math.max(paceFrom, token.usableUntilWallMs));
    }
    case 'ok':
      return token.kind === 'held' ? Math.min(token.dueAtWallMs, token.usableUntilWallMs) : now.wallMs;
    default:
      return Number.POSITIVE_INFINITY;
  }
}
