// Puts the grants and the login of one OAuth client together into a Provider. What differs between providers is
// decided by their own files and arrives here as data.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { obtainByClientCredentials, obtainByExchange, redeem, revoke } from './grants.ts';
import type { OAuthClient } from './oauth-client.ts';
import type {
  AuthorizationCodeLogin,
  Bound,
  DeviceLogin,
  Grant,
  LimitReader,
  Provider,
  ProviderKind,
  SubjectToken,
} from './provider.ts';

export interface OAuthProviderOptions {
  readonly kind: ProviderKind;
  readonly grant: Grant;
  readonly bound: Bound;
  readonly endpoint: string;
  readonly client: OAuthClient;
  /** For the grants that are obtained afresh. */
  readonly scope: string | undefined;
  readonly login: AuthorizationCodeLogin | undefined;
  readonly device: DeviceLogin | undefined;
  /** For token_exchange and jwt_bearer. */
  readonly subject?: SubjectToken | undefined;
  readonly subjectTokenType?: string | undefined;
  readonly requestedTokenType?: string | undefined;
  readonly leadMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly completeImport?: NonNullable<Provider['completeImport']>;
  readonly limits?: LimitReader;
  /** Default: RFC 7009. */
  readonly revoke?: Provider['revoke'] | undefined;
  readonly canRevoke: boolean;
}

export function createOAuthProvider(options: OAuthProviderOptions): Provider {
  const { kind, grant, bound, endpoint, client, login, device, subject, leadMs, headers, limits } = options;
  return {
    kind,
    grant,
    bound,
    endpoint,
    ...(leadMs !== undefined && { leadMs }),
    ...(headers !== undefined && { headers }),
    ...(limits !== undefined && { limits }),
    ...(login !== undefined && { login: { ...login, boundTo: JSON.stringify(bound) } }),
    ...(device !== undefined && { device: { ...device, boundTo: JSON.stringify(bound) } }),
    ...(subject !== undefined && { subject }),
    ...(options.completeImport !== undefined && { completeImport: options.completeImport }),
    refresh: (refreshToken, call) => redeem(client, refreshToken, call),
    async obtain(call, subjectToken = '') {
      if (grant === 'client_credentials') return await obtainByClientCredentials(client, options.scope, call);
      if (grant !== 'token_exchange' && grant !== 'jwt_bearer') throw new SidebearerError('grant_absent');
      return await obtainByExchange(client, { ...options, grant }, subjectToken, call);
    },
    ...(options.canRevoke && { revoke: options.revoke ?? ((tokens) => revoke(client, tokens)) }),
  };
}
