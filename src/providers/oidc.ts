// Any OpenID provider, by discovery. A login's id token is checked in full; on a refresh a bad one costs its claims,
// never the tokens beside it.
import type * as oauth from 'oauth4webapi';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { createAuthorizationCodeLogin } from './authorization-code.ts';
import { clientAuthMethod, clientAuthOf } from './client-auth.ts';
import { createDeviceCodeLogin } from './device-code.ts';
import { createDiscovery, type DiscoveryOptions } from './discovery.ts';
import { verifyIdToken } from './id-token.ts';
import { type Claims, decodeClaims, textClaim } from './jwt-claims.ts';
import type { ClientOptions, OAuthClient } from './oauth-client.ts';
import { createOAuthProvider } from './oauth-provider.ts';
import { defaultRedirectUri } from './oauth2.ts';
import { type ObtainOptions, obtainingParts } from './obtaining.ts';
import type { Account, Grant, Provider, TokenAnswer } from './provider.ts';
import { standardRules } from './rejection.ts';
import { configuredUrl, endpointName } from './server-url.ts';
import { createEndpointCaller, type EndpointParts } from './token-endpoint.ts';

export interface OidcOptions extends ClientOptions, ObtainOptions {
  /** Default: authorization_code. */
  readonly grant?: Grant | undefined;
  /** Exactly as the provider's metadata names it. */
  readonly issuer: string;
  /** These win over the metadata's. */
  readonly authorizeUrl?: string | undefined;
  readonly tokenUrl?: string | undefined;
  readonly revokeUrl?: string | undefined;
  /** Device authorization endpoint (RFC 8628). */
  readonly deviceUrl?: string | undefined;
  /** Default for a login: openid profile email offline_access; otherwise none. */
  readonly scope?: string | undefined;
  /** Default: http://localhost:1455/oauth/callback */
  readonly redirectUri?: string | undefined;
  /** Added to the authorize URL; an empty value takes a default out. */
  readonly authorizeParams?: Readonly<Record<string, string>> | undefined;
}

const DEFAULT_SCOPE = 'openid profile email offline_access';

/** @throws config_value_missing, config_value_invalid, naming the setting */
export function createOidcProvider(options: OidcOptions, parts: EndpointParts): Provider {
  const { clientId, grant = 'authorization_code', allowHttp = false } = options;
  const hasLogin = grant === 'authorization_code';
  const issuer = configuredUrl('issuer', options.issuer, allowHttp);
  const hasDevice = hasLogin || grant === 'device_code';
  const scope = options.scope ?? (hasDevice ? DEFAULT_SCOPE : '');
  const scopes = scope.split(' ');
  if (hasDevice && !scopes.includes('openid')) {
    throw new SidebearerError('config_value_invalid', { setting: 'scope', reason: 'oidc needs openid in it' });
  }
  const overrides = {
    ...override('authorization_endpoint', 'authorizeUrl', options.authorizeUrl, allowHttp),
    ...override('token_endpoint', 'tokenUrl', options.tokenUrl, allowHttp),
    ...override('revocation_endpoint', 'revokeUrl', options.revokeUrl, allowHttp),
    ...override('device_authorization_endpoint', 'deviceUrl', options.deviceUrl, allowHttp),
  };
  const usesMtls = clientAuthMethod(options) === 'tls_client_auth';
  const call = createEndpointCaller(parts);
  const client: OAuthClient = {
    call,
    clock: parts.clock,
    clientId,
    clientAuth: clientAuthOf(options),
    clientSecret: options.clientSecret,
    usesMtlsAliases: usesMtls,
    tokenParams: options.tokenParams ?? {},
    refreshParams: {},
    rules: standardRules,
    server: createDiscovery({
      issuer,
      allowHttp,
      call,
      overrides,
      usesMtlsAliases: usesMtls,
      // All that a login will need is looked for before the browser is sent away, not after it came back.
      required: requiredEndpoints(grant),
    }),
    complete: (answer, server) => withRefreshedClaims(answer, server, clientId),
  };
  const judge = async (
    answer: TokenAnswer,
    server: oauth.AuthorizationServer,
    nonce?: string,
  ): Promise<TokenAnswer> => {
    const claims = await verifyIdToken(client, server, answer.idToken, nonce);
    return { ...answer, account: readAccount(claims) };
  };
  const login = hasLogin
    ? createAuthorizationCodeLogin({
        client,
        redirectUri: options.redirectUri ?? defaultRedirectUri,
        scope,
        // Without it providers drop offline_access (OpenID Connect Core, section 11), oidc-provider among them.
        authorizeParams: {
          ...(scopes.includes('offline_access') && { prompt: 'consent' }),
          ...options.authorizeParams,
        },
        hasIssuer: true,
        judge,
      })
    : undefined;
  return createOAuthProvider({
    kind: 'oidc',
    grant,
    bound: { issuer, ...(options.tokenUrl && { tokenUrl: options.tokenUrl }), clientId },
    endpoint: endpointName(options.tokenUrl || issuer),
    client,
    scope,
    login,
    device: hasDevice ? createDeviceCodeLogin({ client, scope, allowHttp, judge }) : undefined,
    ...obtainingParts(options, parts.clock),
    canRevoke: true,
  });
}

function requiredEndpoints(grant: Grant): DiscoveryOptions['required'] {
  if (grant === 'authorization_code') return ['authorization_endpoint', 'token_endpoint', 'jwks_uri'];
  if (grant === 'device_code') return ['device_authorization_endpoint', 'token_endpoint', 'jwks_uri'];
  return ['token_endpoint'];
}

function override(
  endpoint: keyof oauth.AuthorizationServer,
  setting: string,
  url: string | undefined,
  allowHttp: boolean,
): Partial<oauth.AuthorizationServer> {
  return url ? { [endpoint]: configuredUrl(setting, url, allowHttp) } : {};
}

/** OpenID Connect Core, section 12.2: issuer and audience must be as before; the signature may be left to TLS. */
function withRefreshedClaims(answer: TokenAnswer, server: oauth.AuthorizationServer, clientId: string): TokenAnswer {
  const { idToken, ...rest } = answer;
  if (idToken === undefined) return answer;
  const claims = decodeClaims(idToken);
  const audience = claims?.['aud'];
  const isForUs = Array.isArray(audience) ? audience.includes(clientId) : audience === clientId;
  if (claims === undefined || claims['iss'] !== server.issuer || !isForUs || textClaim(claims, 'sub') === undefined) {
    return { ...rest, warnings: [...rest.warnings, { code: 'token_answer_odd', field: 'id_token' }] };
  }
  return { ...answer, account: readAccount(claims) };
}

function readAccount(claims: Claims): Account {
  const issuer = textClaim(claims, 'iss');
  const id = textClaim(claims, 'sub');
  const email = textClaim(claims, 'email');
  return {
    ...(issuer !== undefined && { issuer }),
    ...(id !== undefined && { id }),
    ...(email !== undefined && { email }),
  };
}
