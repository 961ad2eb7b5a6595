// What the proxy and the OAuth port see of a credential. Types only: the proxy asks for headers and reports
// refusals; pages read the status and give orders. Neither ever sees a refresh token.
import type { ErrorCode } from '../errors/catalogue.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import type {
  Account,
  AuthorizationCodeLogin,
  DeviceLogin,
  Grant,
  ProviderKind,
  Quota,
  TokenAnswer,
} from '../providers/provider.ts';
import type { RefreshOutcome } from './observer.ts';

/** Headers that are ready to be sent, made once for each token. */
export interface Authorization {
  /** Whose token it is: a pool has several. */
  readonly credential: string;
  /** Which token this is; a 401 is judged by whether it is still the current one. */
  readonly generation: number;
  /** Name, value, name, value … */
  readonly rawHeaders: readonly string[];
}

/** Looks at the upstream's answers for what they tell of limits; it changes nothing of them. Nothing here throws. */
export interface AnswerWatch {
  /** The head of the final answer to `sent`. @returns true: the start of the body is wanted, too */
  head(sent: Authorization, status: number, rawHeaders: readonly string[]): boolean;
  /** The start of that body, once there is enough of it. */
  body(sent: Authorization, start: string): void;
}

/** What the proxy needs of a credential, or of a pool of them. */
export interface Bearer {
  readonly name: string;
  /**
   * Lower-cased names of every header that this credential may inject: the client's own are removed whether or not
   * there is a value to put in their place.
   */
  readonly injectedNames: readonly string[];
  /** The headers of a token that is valid now, else undefined. Hot: no allocation, no promise. */
  authorization(): Authorization | undefined;
  /**
   * The headers as soon as there are any: starts or joins a refresh where none is valid, in a bounded queue.
   * @param signal the client's departure: leaves the queue, never the refresh
   * @throws grant_*, access_token_expired, breaker_open, refresh_wait_timeout, refresh_queue_full, … with
   *   `retryAfterMs` where waiting helps; the signal's reason when it aborts
   */
  wait(signal: AbortSignal): Promise<Authorization>;
  /**
   * The upstream answered 401 to `refused`. A newer token if there is one, else the outcome of one refresh that all
   * requests share. Undefined: there is nothing better, pass the 401 on.
   */
  renewed(refused: Authorization, signal: AbortSignal): Promise<Authorization | undefined>;
  /**
   * How the upstream answered the one replay: 401 again pauses refreshes on demand, anything else ends the pause.
   * @param refused what it had refused before
   */
  replayed(sent: Authorization, accepted: boolean, refused: Authorization): void;
  /** Absent where answers tell nothing that matters. */
  readonly answers?: AnswerWatch | undefined;
}

/** The published state: the first that holds, in this order. */
export const publishedStates = ['absent', 'dead', 'cooling', 'refreshing', 'refused', 'due', 'fresh'] as const;
export type PublishedState = (typeof publishedStates)[number];

/** All that pages, metrics, readiness and logs may know of a credential. Times are wall ms. */
export interface CredentialStatus {
  readonly name: string;
  readonly provider: ProviderKind;
  readonly grant: Grant | 'file';
  readonly state: PublishedState;
  /** A token before its expiry. */
  readonly usable: boolean;
  readonly account?: Account;
  readonly generation: number;
  readonly expiresAtMs?: number;
  readonly grantExpiresAtMs?: number;
  readonly obtainedAtMs?: number;
  readonly refreshDueAtMs?: number;
  readonly coolingUntilMs?: number;
  /** In pools, others are taken until then: the upstream told of a limit. */
  readonly resting?: { readonly code: ErrorCode; readonly untilMs: number };
  /** Shares of the account's quotas that are used up, 1 = all, by window; where the upstream tells. */
  readonly quota?: Quota;
  readonly lastRefreshAtMs?: number;
  /** The last failure; gone after the next success. */
  readonly lastError?: {
    readonly code: ErrorCode;
    readonly atMs: number;
    /** What to do, for a person. */
    readonly next: string;
    readonly providerCode?: string;
  };
  /** A token that is not yet durable. */
  readonly isDirty: boolean;
  readonly waiting: number;
  readonly breaker: 'closed' | 'open' | 'half_open';
}

/** What became of the tokens at the provider when a person logged out; here they are gone in each case. */
export type Revocation =
  | { readonly outcome: 'revoked' }
  /** The provider has no revocation. */
  | { readonly outcome: 'unsupported' }
  /** There was no token, or none that may be sent to this provider. */
  | { readonly outcome: 'unneeded' }
  /** `revocation_failed`: it may go on accepting them. */
  | { readonly outcome: 'failed'; readonly error: SidebearerError };

/** A pause that `resume` can end: after failures, of refreshes on demand, or after a limit of the upstream. */
export type Pause = 'cooling' | 'refused' | 'resting';

/** Tokens from another program. Times are wall ms. */
export interface ImportedTokens {
  readonly accessToken?: string;
  readonly refreshToken?: string;
  readonly idToken?: string;
  readonly expiresAtMs?: number;
  /** When the access token was obtained, where known; its life, and so its lead, is counted from then. */
  readonly obtainedAtMs?: number;
  readonly account?: Account;
}

/** What the OAuth port may do with a credential. */
export interface ManagedCredential extends Bearer {
  readonly login: AuthorizationCodeLogin | undefined;
  /** Login on another device, where there is one. */
  readonly device?: DeviceLogin | undefined;
  status(): CredentialStatus;
  /**
   * Makes the tokens of a login durable, then current. The same account is updated in place.
   * @param replaceAccount a person said that another account may replace the stored one
   * @throws account_differs, store_*: the tokens of the login are then not kept
   */
  accept(tokens: TokenAnswer, options: { replaceAccount: boolean }): Promise<void>;
  /**
   * The same with tokens that another program had: a refresh token alone will do.
   * @throws import_empty, access_token_malformed, account_*, workspace_restriction, login_unsupported, store_*: nothing
   *   is kept then
   */
  importTokens(tokens: ImportedTokens, options: { replaceAccount: boolean }): Promise<void>;
  /**
   * Refreshes now, a valid token and a cooldown notwithstanding, or joins the refresh that is at work. Whoever asked
   * may leave: nothing is cancelled by that.
   * @throws grant_*, no_refresh_token, record_*: dead or absent, nothing was sent; breaker_open, refresh_held: nothing
   *   may be sent now; refresh_superseded, sidecar_stopping: it was ended; else what the refresh failed with
   */
  refresh(): Promise<Exclude<RefreshOutcome, 'unknown' | 'failed'>>;
  /**
   * Ends the pauses after failures and refusals; what is due is then tried at once. An open breaker and a second try
   * that is held back are left alone: they protect the provider, and the grant.
   * @returns what was paused
   * @throws grant_*, record_*: dead or absent; breaker_open, refresh_held: there was nothing else to end
   */
  resume(): readonly Pause[];
  /**
   * Ends the grant: no refresh begins any more, one that was sent ends first, the tokens are revoked at the provider,
   * best effort, and deleted here and in every replica. Only a login, an import or a changed seed follows.
   * @throws login_unsupported, store_*, record_*: nothing was deleted
   */
  logout(): Promise<Revocation>;
}
