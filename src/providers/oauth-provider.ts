// Puts the grants and the login of one OAuth client together into a Provider. What differs between providers is
// decided by their own files and arrives here as data.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { obtainByClientCredentials, redeem, revoke } from './grants.ts';
import type { OAuthClient } from './oauth-client.ts';
import type { AuthorizationCodeLogin, Bound, Grant, Provider, ProviderKind } from './provider.ts';

export interface OAuthProviderOptions {
  readonly kind: ProviderKind;
  readonly grant: Grant;
  readonly bound: Bound;
  readonly endpoint: string;
  readonly client: OAuthClient;
  /** For client_credentials. */
  readonly scope: string | undefined;
  readonly login: AuthorizationCodeLogin | undefined;
  readonly leadMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: RFC 7009. */
  readonly revoke?: Provider['revoke'] | undefined;
  readonly canRevoke: boolean;
}

export function createOAuthProvider(options: OAuthProviderOptions): Provider {
  const { kind, grant, bound, endpoint, client, login, leadMs, headers } = options;
  return {
    kind,
    grant,
    bound,
    endpoint,
    ...(leadMs !== undefined && { leadMs }),
    ...(headers !== undefined && { headers }),
    ...(login !== undefined && { login }),
    refresh: (refreshToken, call) => redeem(client, refreshToken, call),
    async obtain(call) {
      if (grant !== 'client_credentials') throw new SidebearerError('grant_absent');
      return await obtainByClientCredentials(client, options.scope, call);
    },
    ...(options.canRevoke && { revoke: options.revoke ?? ((tokens) => revoke(client, tokens)) }),
  };
}
