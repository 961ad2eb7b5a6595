// The generic OAuth 2.0 provider: every endpoint is configured, nothing is discovered, no id token is required.
import { createAuthorizationCodeLogin } from './authorization-code.ts';
import { clientAuthOf } from './client-auth.ts';
import { createDeviceCodeLogin } from './device-code.ts';
import { decodeClaims, textClaim } from './jwt-claims.ts';
import type { ClientOptions, OAuthClient } from './oauth-client.ts';
import { createOAuthProvider } from './oauth-provider.ts';
import { type ObtainOptions, obtainingParts } from './obtaining.ts';
import type { Account, Grant, Provider } from './provider.ts';
import { standardRules } from './rejection.ts';
import { configuredUrl, endpointName } from './server-url.ts';
import { createEndpointCaller, type EndpointParts } from './token-endpoint.ts';

export interface OAuth2Options extends ClientOptions, ObtainOptions {
  /** Default: authorization_code. */
  readonly grant?: Grant | undefined;
  /** Needed for authorization_code. */
  readonly authorizeUrl?: string | undefined;
  readonly tokenUrl: string;
  /** Absent: nothing is revoked. */
  readonly revokeUrl?: string | undefined;
  /** Device authorization endpoint (RFC 8628); needed for device_code. */
  readonly deviceUrl?: string | undefined;
  readonly scope?: string | undefined;
  /** Default: http://localhost:1455/oauth/callback */
  readonly redirectUri?: string | undefined;
  /** Added to the authorize URL; an empty value takes a default out. */
  readonly authorizeParams?: Readonly<Record<string, string>> | undefined;
}

export const defaultRedirectUri = 'http://localhost:1455/oauth/callback';

/** @throws config_value_missing, config_value_invalid, naming the setting */
export function createOAuth2Provider(options: OAuth2Options, parts: EndpointParts): Provider {
  const { clientId, grant = 'authorization_code', scope = '', allowHttp = false } = options;
  const tokenUrl = configuredUrl('tokenUrl', options.tokenUrl, allowHttp);
  const revokeUrl = options.revokeUrl && configuredUrl('revokeUrl', options.revokeUrl, allowHttp);
  const deviceUrl = options.deviceUrl && configuredUrl('deviceUrl', options.deviceUrl, allowHttp);
  const hasLogin = grant === 'authorization_code';
  const hasDevice = grant === 'device_code' || (hasLogin && Boolean(deviceUrl));
  if (grant === 'device_code') configuredUrl('deviceUrl', options.deviceUrl, allowHttp);
  const server = {
    // The library wants a name; nothing is compared with it.
    issuer: tokenUrl,
    token_endpoint: tokenUrl,
    ...(hasLogin && { authorization_endpoint: configuredUrl('authorizeUrl', options.authorizeUrl, allowHttp) }),
    ...(revokeUrl && { revocation_endpoint: revokeUrl }),
    ...(deviceUrl && { device_authorization_endpoint: deviceUrl }),
  };
  const client: OAuthClient = {
    call: createEndpointCaller(parts),
    clock: parts.clock,
    clientId,
    clientAuth: clientAuthOf(options),
    clientSecret: options.clientSecret,
    usesMtlsAliases: false,
    tokenParams: options.tokenParams ?? {},
    refreshParams: {},
    rules: standardRules,
    server: () => Promise.resolve(server),
    complete(answer) {
      const account = readAccount(answer.idToken);
      return account === undefined ? answer : { ...answer, account };
    },
  };
  const login = hasLogin
    ? createAuthorizationCodeLogin({
        client,
        redirectUri: options.redirectUri ?? defaultRedirectUri,
        scope,
        authorizeParams: options.authorizeParams ?? {},
        hasIssuer: false,
        judge: (answer) => client.complete(answer, server),
      })
    : undefined;
  return createOAuthProvider({
    kind: 'oauth2',
    grant,
    bound: { tokenUrl, clientId },
    endpoint: endpointName(tokenUrl),
    client,
    scope,
    login,
    device: hasDevice
      ? createDeviceCodeLogin({ client, scope, allowHttp, judge: (answer) => client.complete(answer, server) })
      : undefined,
    ...obtainingParts(options, parts.clock),
    canRevoke: Boolean(revokeUrl),
  });
}

/** For show and for telling accounts apart. Unsigned is enough: it came from the token endpoint itself. */
function readAccount(idToken: string | undefined): Account | undefined {
  const claims = decodeClaims(idToken);
  const id = textClaim(claims, 'sub');
  if (id === undefined) return undefined;
  const issuer = textClaim(claims, 'iss');
  const email = textClaim(claims, 'email');
  return { id, ...(issuer !== undefined && { issuer }), ...(email !== undefined && { email }) };
}
