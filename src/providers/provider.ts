// The provider's contract: what Sidebearer asks of an identity provider, and what it gets. Types only.
import type { ErrorCode } from '../errors/catalogue.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';

export type ProviderKind = 'codex' | 'oidc' | 'oauth2' | 'file';
export type Grant =
  | 'authorization_code'
  | 'refresh_token'
  | 'client_credentials'
  | 'device_code'
  | 'token_exchange'
  | 'jwt_bearer';

/** Whom a stored token may be sent to. Where it differs from the configuration, nothing is sent. */
export interface Bound {
  readonly issuer?: string;
  readonly tokenUrl?: string;
  readonly clientId: string;
}

/** Whose token it is, as far as the provider tells. */
export interface Account {
  readonly issuer?: string;
  /** `sub`, or the provider's own account id (codex: `chatgpt_account_id`). */
  readonly id?: string;
  /** A person within the account (codex: `chatgpt_user_id`, else `sub`). */
  readonly userId?: string;
  readonly email?: string;
  readonly plan?: string;
  readonly organizationId?: string;
  readonly fedramp?: boolean;
  /** RFC 3339, as the provider says (codex). */
  readonly subscriptionUntil?: string;
}

/**
 * What a token endpoint gave, read leniently: every field is usable where present. Absent after a refresh means
 * "as before".
 */
export interface TokenAnswer {
  readonly accessToken?: string;
  readonly refreshToken?: string;
  readonly idToken?: string;
  /** Wall ms, counted from the moment the request was sent. Absent: unknown. */
  readonly expiresAtMs?: number;
  /** Wall ms at which the grant itself ends, where told. */
  readonly grantExpiresAtMs?: number;
  /** Wall ms at which the request was sent. */
  readonly obtainedAtMs: number;
  readonly account?: Account;
  /** Fields that were malformed and passed over, each with its code. */
  readonly warnings: readonly { readonly code: ErrorCode; readonly field: string }[];
}

/** How one call to a token endpoint is guarded. */
export interface TokenCall {
  /** Ends the attempt. Never a client's, a page's or a probe's signal. */
  readonly timeoutMs: number;
  /**
   * Asked once the connection stands, just before the first byte: false aborts with nothing sent (`lease_lost`).
   */
  readonly mayBegin: () => boolean;
}

export interface AuthorizationRequest {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

export interface AuthorizationAnswer extends AuthorizationRequest {
  /** The callback's query parameters as they came; only `state` is judged already. */
  readonly parameters: URLSearchParams;
}

/** Login by authorization code with PKCE. */
export interface AuthorizationCodeLogin {
  /** `Bound` as text: what was begun with one client is never finished with another. */
  readonly boundTo?: string;
  /** The exact redirect URI that is registered. */
  readonly redirectUri: string;
  /**
   * Whether the token endpoint can be reached from here, before anybody logs in for nothing: a connection is made, and
   * nothing is sent on it.
   * @throws provider_unreachable: its reason tells DNS, the network and TLS apart
   * @throws egress_unreachable, egress_refused, provider_metadata_invalid
   */
  reach(): Promise<void>;
  /** PKCE verifier, fresh. */
  newVerifier(): string;
  /** Where to send the browser. @throws provider_unreachable, provider_metadata_invalid */
  authorizationUrl(request: AuthorizationRequest): Promise<URL>;
  /**
   * Judges the callback (`error`, then `code`, then `iss`), redeems the code, checks id token and account. Sent again
   * once, only where the connection was never made. Tokens in the answer always hold an access token.
   * @throws authorize_denied, authorize_failed, code_missing, callback_issuer_mismatch: nothing was sent
   * @throws code_rejected, exchange_*, id_token_invalid, account_missing, workspace_restriction, access_token_malformed
   * @throws provider_unreachable, provider_metadata_invalid: discovery, or the keys for the id token; token_* never
   */
  exchange(answer: AuthorizationAnswer): Promise<TokenAnswer>;
}

/** What a person needs to log in on another device (RFC 8628, section 3.2). */
export interface DeviceAuthorization {
  /** To be typed, or compared, on the other device. Whoever has it can log in in our place: shown to that person only. */
  readonly userCode: string;
  /** http or https. */
  readonly verificationUri: string;
  /** The same with the user code in it, where the provider gives one. */
  readonly verificationUriComplete?: string;
  /** Between two polls, at least, ms. */
  readonly intervalMs: number;
  /** How long the codes live from now on, ms. */
  readonly lifeMs: number;
  /** What `poll` is asked with. A secret. */
  readonly deviceCode: string;
}

export type DevicePoll =
  | { readonly kind: 'pending' }
  /** The interval is 5 s longer from now on. */
  | { readonly kind: 'slow_down' }
  /** No answer, or none that says anything: it does not end the login. */
  | { readonly kind: 'unanswered'; readonly error: SidebearerError }
  /** They always hold an access token. */
  | { readonly kind: 'tokens'; readonly tokens: TokenAnswer };

/** Login by a code that is typed on another device (RFC 8628, and its Codex variant). Needs no callback. */
export interface DeviceLogin {
  /** As of `AuthorizationCodeLogin`. */
  readonly boundTo?: string;
  /** Whether the provider has it, as far as can be told now; asks for the metadata where need be. Never rejects. */
  isOffered(): Promise<boolean>;
  /**
   * Begins one.
   * @throws device_login_unsupported, device_login_disabled: not with this provider, or not yet
   * @throws provider_unreachable, provider_metadata_invalid, authorize_failed, device_answer_malformed
   */
  start(): Promise<DeviceAuthorization>;
  /**
   * Asks once how it went. Whatever is thrown ends it.
   * @throws device_denied, device_expired, code_rejected, exchange_*, id_token_invalid, account_missing,
   *   workspace_restriction, access_token_malformed
   */
  poll(authorization: DeviceAuthorization): Promise<DevicePoll>;
}

/** What a token is obtained with, in a file that somebody else writes (token_exchange, jwt_bearer). */
export interface SubjectToken {
  /** Read anew each time. @throws subject_token_unreadable, subject_token_empty, subject_token_too_large */
  read(): Promise<string>;
  /** Calls back after each change, symlink swaps included. */
  watch(changed: () => void): { close(): void };
}

/**
 * One configured credential's provider. Errors of `refresh` and `obtain`: `grant_*` (the grant is gone),
 * `subject_token_rejected`, `client_rejected`, `token_endpoint_*`, `region_unsupported`, `lease_lost`,
 * `access_token_malformed`; the row's `outcome` says whether the request may have taken effect.
 */
export interface Provider {
  readonly kind: ProviderKind;
  readonly grant: Grant;
  readonly bound: Bound;
  /** Origin and path of the token URL (or issuer, before discovery): the breaker's key and metric label. */
  readonly endpoint: string;
  /** How long before the expiry a preset refreshes (codex: 5 days); absent: the general rule. */
  readonly leadMs?: number;
  /** Headers that a preset sends beside the token, as formats of `inject.headers`; the configuration wins. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How a preset's upstream tells of limits; absent: 429 and `Retry-After` alone. */
  readonly limits?: LimitReader;
  /** Present where the grant begins with a person's login. */
  readonly login?: AuthorizationCodeLogin;
  /** Present where a person may log in on another device; whether the provider has it is known when it is asked. */
  readonly device?: DeviceLogin;
  /** Present where the grant obtains a token with another one. */
  readonly subject?: SubjectToken;
  /**
   * Reads out of tokens that another program had what a preset reads out of its own answers: account and expiry.
   * @throws account_missing, workspace_restriction
   */
  completeImport?(tokens: TokenAnswer): TokenAnswer;
  /** Redeems a refresh token: one attempt. */
  refresh(refreshToken: string, call: TokenCall): Promise<TokenAnswer>;
  /**
   * Obtains a token without any refresh token (client_credentials; with `subjectToken`: token_exchange, jwt_bearer): one
   * attempt. Other grants: grant_absent.
   */
  obtain(call: TokenCall, subjectToken?: string): Promise<TokenAnswer>;
  /**
   * Best effort, at most 10 s a request; absent where the provider has no revocation, `unsupported` where its discovery
   * says so. It rejects with the codes of `refresh` (or provider_*), for whoever wants to tell: nothing depends on it.
   */
  revoke?(tokens: {
    readonly refreshToken?: string;
    readonly accessToken?: string;
  }): Promise<'revoked' | 'unsupported'>;
}

/** An upstream's limit for whoever asked. */
export interface UpstreamLimit {
  /** The account's own quota is used up; else too many requests at once. */
  readonly isQuota: boolean;
  /** How long it lasts, ms, uncapped; absent: not told. */
  readonly forMs?: number;
}

/** Shares of quotas that are used up, 1 = all. */
export interface Quota {
  readonly primary?: number;
  readonly secondary?: number;
}

/** Reads an upstream's answers for limits. Pure; nothing foreign gets out but numbers. */
export interface LimitReader {
  /** Of an answer with any status; absent where no upstream of this kind tells. */
  quota?(rawHeaders: readonly string[]): Quota | undefined;
  /** Of an error's head. */
  head(status: number, rawHeaders: readonly string[]): UpstreamLimit | undefined;
  /** Whether the start of that error's body may tell more. */
  hasMore(status: number, rawHeaders: readonly string[]): boolean;
  body(start: string): UpstreamLimit | undefined;
}

/** A token that something else writes to a file; nothing to refresh. */
export interface TokenFile {
  /** @throws token_file_unreadable, access_token_malformed */
  read(): Promise<TokenAnswer>;
  /** Calls back after each change, symlink swaps included. */
  watch(changed: () => void): { close(): void };
}
