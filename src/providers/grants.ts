// The token requests that need no person: redeeming a refresh token, the grants that spend nothing, revocation.
// One call is one attempt: repeating is the credential's business, which knows the store and the lease.
import * as oauth from 'oauth4webapi';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { ask, libraryClient, type OAuthClient, type ProvedAnswer, type RequestOptions } from './oauth-client.ts';
import type { TokenAnswer, TokenCall } from './provider.ts';
import { permanentRejectionOf, type RejectionRules, rejectionOf } from './rejection.ts';
import { readTokenAnswer } from './token-answer.ts';
import type { EndpointAnswer } from './token-endpoint.ts';

const REVOCATION_TIMEOUT_MS = 10_000;

export interface RevocableTokens {
  readonly refreshToken?: string;
  readonly accessToken?: string;
}

/** RFC 6749, section 6. @throws grant_*, client_rejected, token_endpoint_*, region_unsupported, lease_lost, … */
export function redeem(client: OAuthClient, refreshToken: string, call: TokenCall): Promise<TokenAnswer> {
  return request(client, call, client.rules, [refreshToken], (server, options) =>
    oauth.refreshTokenGrantRequest(server, libraryClient(client), client.clientAuth, refreshToken, {
      ...options,
      additionalParameters: { ...client.tokenParams, ...client.refreshParams },
    }),
  );
}

/** There is no grant that could be gone: `invalid_grant` is the client's fault here. */
export function aloneRules(rules: RejectionRules): RejectionRules {
  return { ...rules, invalidGrant: 'client_rejected', unauthorized: 'client_rejected' };
}

/** RFC 6749, section 4.4. */
export function obtainByClientCredentials(
  client: OAuthClient,
  scope: string | undefined,
  call: TokenCall,
): Promise<TokenAnswer> {
  const rules = aloneRules(client.rules);
  const parameters = { ...client.tokenParams, ...withScope(scope) };
  return request(client, call, rules, [], (server, options) =>
    oauth.clientCredentialsGrantRequest(server, libraryClient(client), client.clientAuth, parameters, options),
  );
}

/** What an access token is exchanged for, and how it is asked. */
export interface ExchangeOptions {
  readonly grant: 'token_exchange' | 'jwt_bearer';
  readonly scope: string | undefined;
  /** Of token_exchange alone. */
  readonly subjectTokenType?: string | undefined;
  readonly requestedTokenType?: string | undefined;
}

const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt';

/**
 * What is refused is the token that was handed over: the grant is never gone, for the next one may be good. RFC 8693 says
 * `invalid_request` where RFC 7523 says `invalid_grant`.
 */
export function exchangeRules(grant: ExchangeOptions['grant']): RejectionRules {
  return {
    permanent: {},
    invalidGrant: 'subject_token_rejected',
    ...(grant === 'token_exchange' && { invalidRequest: 'subject_token_rejected' }),
    unauthorized: 'client_rejected',
  };
}

/** RFC 8693 and RFC 7523, section 2.1. */
export function obtainByExchange(
  client: OAuthClient,
  { grant, scope, subjectTokenType, requestedTokenType }: ExchangeOptions,
  subjectToken: string,
  call: TokenCall,
): Promise<TokenAnswer> {
  const isExchange = grant === 'token_exchange';
  const parameters: Record<string, string> = isExchange
    ? {
        ...client.tokenParams,
        subject_token: subjectToken,
        subject_token_type: subjectTokenType ?? JWT_TYPE,
        ...(requestedTokenType !== undefined && { requested_token_type: requestedTokenType }),
        ...withScope(scope),
      }
    : { ...client.tokenParams, assertion: subjectToken, ...withScope(scope) };
  const type = `urn:ietf:params:oauth:grant-type:${isExchange ? 'token-exchange' : 'jwt-bearer'}`;
  return request(client, call, exchangeRules(grant), [subjectToken], (server, options) =>
    oauth.genericTokenEndpointRequest(server, libraryClient(client), client.clientAuth, type, parameters, options),
  );
}

function withScope(scope: string | undefined): { readonly scope?: string } {
  return scope === undefined || scope === '' ? {} : { scope };
}

/** RFC 7009, of the refresh token where there is one: the rest of the grant goes with it. */
export async function revoke(client: OAuthClient, tokens: RevocableTokens): Promise<'revoked' | 'unsupported'> {
  const token = tokens.refreshToken ?? tokens.accessToken;
  if (token === undefined) return 'revoked';
  const server = await client.server(REVOCATION_TIMEOUT_MS);
  if (server.revocation_endpoint === undefined) return 'unsupported';
  const hint = tokens.refreshToken === undefined ? 'access_token' : 'refresh_token';
  const answer = await ask(client.call, revocationCall, (options) =>
    oauth.revocationRequest(server, libraryClient(client), client.clientAuth, token, {
      ...options,
      additionalParameters: { token_type_hint: hint },
    }),
  );
  assertRevoked(client, answer, token);
  return 'revoked';
}

/** A revocation spends nothing, so it waits for nobody's leave. */
export const revocationCall: TokenCall = { timeoutMs: REVOCATION_TIMEOUT_MS, mayBegin: () => true };

/** @throws the table's code for whatever is not a 2xx */
export function assertRevoked(client: OAuthClient, answer: Answer, token: string): void {
  if (!isSuccess(answer)) throw rejectionOf(answer, client.rules, secretsOf(client, answer, [token]));
}

/**
 * Reads an answer of any status.
 * @param sent what the request carried that no error may repeat
 */
export function readAnswer(
  client: OAuthClient,
  answer: Answer,
  rules: RejectionRules,
  sent: readonly string[],
): TokenAnswer {
  const secrets = secretsOf(client, answer, sent);
  if (!isSuccess(answer)) throw rejectionOf(answer, rules, secrets);
  try {
    return readTokenAnswer(answer);
  } catch (thrown) {
    throw permanentRejectionOf(answer, rules, secrets) ?? thrown;
  }
}

async function request(
  client: OAuthClient,
  call: TokenCall,
  rules: RejectionRules,
  sent: readonly string[],
  build: (server: oauth.AuthorizationServer, options: RequestOptions) => Promise<Response>,
): Promise<TokenAnswer> {
  const startedMs = client.clock.monotonicMs();
  const server = await client.server(call.timeoutMs).catch(asUnreachable);
  const timeoutMs = call.timeoutMs - (client.clock.monotonicMs() - startedMs);
  const answer = await ask(client.call, { ...call, timeoutMs }, (options) => build(server, options));
  return client.complete(readAnswer(client, answer, rules, sent), server);
}

/** To a refresh, a discovery that fails is an endpoint that was not reached: nothing was sent, it may pass. */
function asUnreachable(thrown: unknown): never {
  const { code, details } = toSidebearerError(thrown);
  // An egress proxy that is in the way has its own advice.
  if (code === 'internal_error' || code === 'egress_unreachable' || code === 'egress_refused') throw thrown;
  throw new SidebearerError('token_endpoint_unreachable', { reason: 'the discovery failed', ...details });
}

type Answer = EndpointAnswer | ProvedAnswer;

function secretsOf({ clientSecret = '' }: OAuthClient, answer: Answer, sent: readonly string[]): readonly string[] {
  return [...sent, clientSecret, ...('proofs' in answer ? answer.proofs : [])];
}

function isSuccess({ status }: EndpointAnswer): boolean {
  return status >= 200 && status <= 299;
}
