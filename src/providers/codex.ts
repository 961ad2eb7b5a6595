// The Codex preset: what OpenAI's own Codex CLI and CLIProxyAPI send, value for value, with the answers they get.
// A parameter more or less may cost the login, so nothing is added here that they do not send.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { createAuthorizationCodeLogin } from './authorization-code.ts';
import { clientAuthOf } from './client-auth.ts';
import { readCodexAccount } from './codex-claims.ts';
import { createCodexDeviceLogin } from './codex-device.ts';
import { createCodexLimits } from './codex-limits.ts';
import { assertRevoked, type RevocableTokens, revocationCall } from './grants.ts';
import { jwtExpiresAtMs } from './jwt-claims.ts';
import type { ClientOptions, OAuthClient } from './oauth-client.ts';
import { createOAuthProvider } from './oauth-provider.ts';
import type { Provider, TokenAnswer } from './provider.ts';
import type { RejectionRules } from './rejection.ts';
import { configuredUrl, endpointName } from './server-url.ts';
import { createEndpointCaller, type EndpointParts } from './token-endpoint.ts';

export interface CodexOptions extends Omit<ClientOptions, 'clientId'> {
  readonly clientId?: string | undefined;
  /** Default: authorization_code. */
  readonly grant?: 'authorization_code' | 'refresh_token' | 'device_code' | undefined;
  readonly authorizeUrl?: string | undefined;
  readonly tokenUrl?: string | undefined;
  readonly revokeUrl?: string | undefined;
  /** Where user codes for a login on another device are given. */
  readonly deviceUrl?: string | undefined;
  readonly scope?: string | undefined;
  readonly redirectUri?: string | undefined;
  /** Over the preset's; an empty value takes one out. */
  readonly authorizeParams?: Readonly<Record<string, string>> | undefined;
  /** Not sent unless configured; the Codex CLI sends `codex_cli_rs`. */
  readonly originator?: string | undefined;
  /** Account ids; not empty: a login to another account is refused. */
  readonly allowedWorkspaces?: readonly string[] | undefined;
}

const preset = {
  issuer: 'https://auth.openai.com',
  authorizeUrl: 'https://auth.openai.com/oauth/authorize',
  tokenUrl: 'https://auth.openai.com/oauth/token',
  revokeUrl: 'https://auth.openai.com/oauth/revoke',
  deviceUrl: 'https://auth.openai.com/api/accounts/deviceauth/usercode',
  clientId: 'app_EMoamEEZ73f0CkXaXp7hrann',
  redirectUri: 'http://localhost:1455/auth/callback',
  scope: 'openid email profile offline_access',
  refreshScope: 'openid profile email',
  headers: { 'chatgpt-account-id': '{account.id}', 'X-OpenAI-Fedramp': '{account.fedramp}' },
  authorizeParams: { prompt: 'login', id_token_add_organizations: 'true', codex_cli_simplified_flow: 'true' },
} as const;

const DAY_MS = 86_400_000;
const LEAD_MS = 5 * DAY_MS;
/** The life of an access token that tells nothing about it. */
const PRESUMED_LIFE_MS = 8 * DAY_MS;

export const codexRules: RejectionRules = {
  permanent: {
    refresh_token_reused: 'grant_reused',
    refresh_token_expired: 'grant_expired',
    token_expired: 'grant_expired',
    app_session_expired: 'grant_expired',
    refresh_token_revoked: 'grant_revoked',
    refresh_token_invalidated: 'grant_revoked',
    app_session_terminated: 'grant_ended',
    invalid_refresh_token: 'grant_rejected',
  },
  invalidGrant: 'grant_rejected',
  unauthorized: 'grant_rejected',
};

/** @throws config_value_missing, config_value_invalid, naming the setting */
export function createCodexProvider(options: CodexOptions, parts: EndpointParts): Provider {
  const { clientId = preset.clientId, grant = 'authorization_code', allowHttp = false } = options;
  const tokenUrl = configuredUrl('tokenUrl', options.tokenUrl ?? preset.tokenUrl, allowHttp);
  const revokeUrl = configuredUrl('revokeUrl', options.revokeUrl ?? preset.revokeUrl, allowHttp);
  const deviceUrl = configuredUrl('deviceUrl', options.deviceUrl ?? preset.deviceUrl, allowHttp);
  const allowedWorkspaces = options.allowedWorkspaces ?? [];
  const server = {
    issuer: preset.issuer,
    token_endpoint: tokenUrl,
    authorization_endpoint: configuredUrl('authorizeUrl', options.authorizeUrl ?? preset.authorizeUrl, allowHttp),
  };
  const client: OAuthClient = {
    call: createEndpointCaller(parts),
    clock: parts.clock,
    clientId,
    clientAuth: clientAuthOf({ ...options, clientId }),
    clientSecret: options.clientSecret,
    usesMtlsAliases: false,
    tokenParams: options.tokenParams ?? {},
    refreshParams: { scope: preset.refreshScope },
    rules: codexRules,
    server: () => Promise.resolve(server),
    complete,
  };
  const judge = (answer: TokenAnswer): TokenAnswer => withAccount(complete(answer), allowedWorkspaces);
  const login =
    grant === 'authorization_code'
      ? createAuthorizationCodeLogin({
          client,
          redirectUri: options.redirectUri ?? preset.redirectUri,
          scope: options.scope ?? preset.scope,
          authorizeParams: {
            ...preset.authorizeParams,
            originator: options.originator ?? '',
            allowed_workspace_id: allowedWorkspaces.join(','),
            ...options.authorizeParams,
          },
          hasIssuer: false,
          judge,
        })
      : undefined;
  return createOAuthProvider({
    kind: 'codex',
    grant,
    bound: { tokenUrl, clientId },
    endpoint: endpointName(tokenUrl),
    client,
    scope: undefined,
    login,
    device:
      grant === 'refresh_token' ? undefined : createCodexDeviceLogin({ client, server, deviceUrl, allowHttp, judge }),
    leadMs: LEAD_MS,
    // Without an id token: the access token is a JWT of the same claims.
    completeImport: (tokens) => {
      const { accessToken, idToken = accessToken } = tokens;
      return judge({ ...tokens, ...(idToken !== undefined && { idToken }) });
    },
    headers: preset.headers,
    limits: createCodexLimits(parts.clock),
    canRevoke: true,
    revoke: (tokens) => revokeByJson(client, revokeUrl, tokens),
  });
}

/** Expiry: `expires_in`, else the access token's own `exp`, else a presumed life. */
function complete(answer: TokenAnswer): TokenAnswer {
  const account = readCodexAccount(answer.idToken, preset.issuer);
  return {
    ...answer,
    ...(answer.accessToken !== undefined && { expiresAtMs: answer.expiresAtMs ?? presumedEndMs(answer) }),
    ...(account !== undefined && { account }),
  };
}

function presumedEndMs({ accessToken, obtainedAtMs }: TokenAnswer): number {
  const toldMs = jwtExpiresAtMs(accessToken);
  // An end before the beginning is a wrong clock on one of the two sides: it says nothing about the life.
  return toldMs !== undefined && toldMs > obtainedAtMs ? toldMs : obtainedAtMs + PRESUMED_LIFE_MS;
}

/**
 * The id token is decoded and its signature is not checked, as in the references: it comes over TLS from the token
 * endpoint itself, which OpenID Connect Core, section 3.1.3.7 (6) accepts in place of the signature, and it decides
 * nothing but which account is shown and named to the upstream. `aud` and `iss` are not looked at: their shape varies.
 */
function withAccount(answer: TokenAnswer, allowedWorkspaces: readonly string[]): TokenAnswer {
  const id = answer.account?.id;
  if (id === undefined) throw new SidebearerError('account_missing');
  if (allowedWorkspaces.length > 0 && !allowedWorkspaces.includes(id)) {
    throw new SidebearerError('workspace_restriction');
  }
  return answer;
}

/** JSON instead of RFC 7009's form; the client is named only beside a refresh token. */
async function revokeByJson(client: OAuthClient, revokeUrl: string, tokens: RevocableTokens): Promise<'revoked'> {
  const { refreshToken, accessToken } = tokens;
  const token = refreshToken ?? accessToken;
  if (token === undefined) return 'revoked';
  const isRefreshToken = refreshToken !== undefined;
  const body = {
    token,
    token_type_hint: isRefreshToken ? 'refresh_token' : 'access_token',
    ...(isRefreshToken && { client_id: client.clientId }),
  };
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  const request = { method: 'POST', headers, body: JSON.stringify(body) } as const;
  assertRevoked(client, await client.call(revokeUrl, request, revocationCall), token);
  return 'revoked';
}
