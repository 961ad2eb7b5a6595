// The provider's contract: what Sidebearer asks of an identity provider, and what it gets. Types only.
import type { ErrorCode } from '../errors/catalogue.ts';

export type ProviderKind = 'codex' | 'oidc' | 'oauth2' | 'file';
export type Grant = 'authorization_code' | 'refresh_token' | 'client_credentials';

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
   * @throws code_rejected, exchange_*, id_token_invalid, account_missing, workspace_restriction
   * @throws provider_unreachable, provider_metadata_invalid: discovery, or the keys for the id token; token_* never
   */
  exchange(answer: AuthorizationAnswer): Promise<TokenAnswer>;
}

/**
 * One configured credential's provider. Errors of `refresh` and `obtain`: `grant_*` (the grant is gone),
 * `client_rejected`, `token_endpoint_*`, `region_unsupported`, `lease_lost`, `access_token_malformed`; the row's
 * `outcome` says whether the request may have taken effect.
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
  /** Present where the grant begins with a person's login. */
  readonly login?: AuthorizationCodeLogin;
  /** Redeems a refresh token: one attempt. */
  refresh(refreshToken: string, call: TokenCall): Promise<TokenAnswer>;
  /** Obtains a token without any refresh token (client_credentials): one attempt. Other grants: grant_absent. */
  obtain(call: TokenCall): Promise<TokenAnswer>;
  /**
   * Best effort, at most 10 s a request; absent where the provider has no revocation, `unsupported` where its discovery
   * says so. It rejects with the codes of `refresh` (or provider_*), for whoever wants to tell: nothing depends on it.
   */
  revoke?(tokens: {
    readonly refreshToken?: string;
    readonly accessToken?: string;
  }): Promise<'revoked' | 'unsupported'>;
}

/** A token that something else writes to a file; nothing to refresh. */
export interface TokenFile {
  /** @throws token_file_unreadable, access_token_malformed */
  read(): Promise<TokenAnswer>;
  /** Calls back after each change, symlink swaps included. */
  watch(changed: () => void): { close(): void };
}
