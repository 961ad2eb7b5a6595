// One configured OAuth client: who it is, how it proves it, what it adds to every request, and where it asks.
// The grants and the login are written once on top of this; a provider only fills it in.
import * as oauth from 'oauth4webapi';
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { ClientAuthOptions } from './client-auth.ts';
import type { TokenAnswer, TokenCall } from './provider.ts';
import type { RejectionRules } from './rejection.ts';
import type { CallEndpoint, EndpointAnswer } from './token-endpoint.ts';

/** What any provider's configuration says of the client. */
export interface ClientOptions extends ClientAuthOptions {
  /** Added to every token request (`audience`, `resource`); never replaces a parameter of the protocol. */
  readonly tokenParams?: Readonly<Record<string, string>> | undefined;
  /** Plain http beyond loopback. */
  readonly allowHttp?: boolean | undefined;
}

export interface OAuthClient {
  readonly call: CallEndpoint;
  readonly clock: Clock;
  readonly clientId: string;
  readonly clientAuth: oauth.ClientAuth;
  readonly clientSecret: string | undefined;
  /** It shows a certificate: the endpoints that ask for one are used where the server has them (RFC 8705, section 5). */
  readonly usesMtlsAliases: boolean;
  readonly tokenParams: Readonly<Record<string, string>>;
  /** Further parameters of a refresh. */
  readonly refreshParams: Readonly<Record<string, string>>;
  readonly rules: RejectionRules;
  /**
   * The server's metadata; its URLs are already judged by server-url.ts.
   * @throws provider_unreachable, provider_metadata_invalid
   */
  server(timeoutMs: number): Promise<oauth.AuthorizationServer>;
  /** What the provider itself reads out of an answer: the account, an expiry that is told elsewhere. Never throws. */
  complete(answer: TokenAnswer, server: oauth.AuthorizationServer): TokenAnswer;
}

/** The library's view of the client. Its clock is the machine's; ours is passed in, so the difference is told. */
export function libraryClient({ clientId, clock, usesMtlsAliases }: OAuthClient): oauth.Client {
  return {
    client_id: clientId,
    use_mtls_endpoint_aliases: usesMtlsAliases,
    [oauth.clockSkew]: Math.round((clock.wallMs() - Date.now()) / 1_000),
  };
}

/** Options that every request function of the library takes. */
export interface RequestOptions {
  readonly [oauth.customFetch]: (url: string, init: RequestInitLike) => Promise<Response>;
  readonly [oauth.allowInsecureRequests]: true;
}

interface RequestInitLike {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: URLSearchParams | undefined;
}

/** An answer, and what proved who the client is in the request: no error may repeat it. */
export interface ProvedAnswer extends EndpointAnswer {
  readonly proofs: readonly string[];
}

function proofsIn(headers: Record<string, string>, body: URLSearchParams | undefined): readonly string[] {
  const basic = headers['authorization']?.replace(/^Basic /, '');
  return [basic, body?.get('client_secret'), body?.get('client_assertion')].filter(
    (proof) => typeof proof === 'string',
  );
}

/**
 * Lets the library build and authenticate a request, sends it, and hands back the raw answer. The library never sees
 * that: it would throw on answers that hold good tokens, with the tokens in its `cause`.
 * @throws what `CallEndpoint` throws
 */
export async function ask(
  call: CallEndpoint,
  guard: TokenCall,
  build: (options: RequestOptions) => Promise<unknown>,
): Promise<ProvedAnswer> {
  let answer: ProvedAnswer | undefined;
  await build({
    [oauth.customFetch]: async (url, { headers, body }) => {
      const answered = await call(url, { method: 'POST', headers, body: body?.toString() ?? '' }, guard);
      answer = { ...answered, proofs: proofsIn(headers, body) };
      return new Response(null);
    },
    // Every URL was judged when it was configured or discovered, by a rule of our own (server-url.ts).
    [oauth.allowInsecureRequests]: true,
  });
  if (answer === undefined) throw new SidebearerError('internal_error', { reason: 'no request was made' });
  return answer;
}
