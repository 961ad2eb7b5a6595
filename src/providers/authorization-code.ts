// Login by authorization code with PKCE (RFC 6749, section 4.1; RFC 7636), the same for every provider: the URL for
// the browser, then one exchange. A code serves once: it is sent again only where it is certain that it never left.
import { randomBytes } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { authorizeError } from './authorize-error.ts';
import { readAnswer } from './grants.ts';
import { ask, libraryClient, type OAuthClient, type ProvedAnswer } from './oauth-client.ts';
import type { AuthorizationAnswer, AuthorizationCodeLogin, TokenAnswer, TokenCall } from './provider.ts';
import { reachTokenEndpoint } from './reach.ts';
import { standardRules } from './rejection.ts';

/** One attempt. Nobody's lease is at stake: a login spends only its own code. */
const exchangeCall: TokenCall = { timeoutMs: 30_000, mayBegin: () => true };

/** 96 bytes are the longest verifier that RFC 7636 allows, 128 characters. */
const VERIFIER_BYTES = 96;

export interface LoginOptions {
  readonly client: OAuthClient;
  readonly redirectUri: string;
  readonly scope: string;
  /** Further parameters of the authorize URL; one that is empty is not sent. Never replaces one of the protocol. */
  readonly authorizeParams: Readonly<Record<string, string>>;
  /** The server has an issuer to compare with: `nonce` is sent and `iss` of the callback is checked (RFC 9207). */
  readonly hasIssuer: boolean;
  /** Judges the tokens of a login: id token, account. @throws exchange codes */
  judge(answer: TokenAnswer, server: oauth.AuthorizationServer, nonce: string): Promise<TokenAnswer> | TokenAnswer;
}

export function createAuthorizationCodeLogin(options: LoginOptions): AuthorizationCodeLogin {
  const { client, redirectUri, scope } = options;
  return {
    redirectUri,
    reach: () => reachTokenEndpoint(client),
    newVerifier: () => randomBytes(VERIFIER_BYTES).toString('base64url'),

    async authorizationUrl({ state, nonce, verifier }) {
      const server = await client.server(exchangeCall.timeoutMs);
      const url = new URL(server.authorization_endpoint ?? '');
      const parameters: Record<string, string> = {
        ...options.authorizeParams,
        response_type: 'code',
        client_id: client.clientId,
        redirect_uri: redirectUri,
        scope,
        state,
        ...(options.hasIssuer && { nonce }),
        code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      };
      for (const [name, value] of Object.entries(parameters)) if (value !== '') url.searchParams.set(name, value);
      return url;
    },

    async exchange({ parameters, nonce, verifier }) {
      const refusal = authorizeError(parameters);
      if (refusal !== undefined) throw refusal;
      const code = onlyCode(parameters);
      const server = await client.server(exchangeCall.timeoutMs);
      if (options.hasIssuer) assertIssuer(parameters, server);
      return await options.judge(await redeemCode(options, server, code, verifier), server, nonce);
    },
  };
}

function onlyCode(parameters: AuthorizationAnswer['parameters']): string {
  const codes = parameters.getAll('code').filter((code) => code !== '');
  const [code, ...others] = codes;
  if (code === undefined || others.length > 0) {
    throw new SidebearerError('code_missing', code === undefined ? {} : { reason: 'it carries more than one' });
  }
  return code;
}

/** RFC 9207, section 2.4: where the server says that it names itself, an answer without a name is not its own. */
function assertIssuer(parameters: URLSearchParams, server: oauth.AuthorizationServer): void {
  const named = parameters.getAll('iss');
  if (named.length === 0 && server.authorization_response_iss_parameter_supported !== true) return;
  if (named.length !== 1 || named[0] !== server.issuer) throw new SidebearerError('callback_issuer_mismatch');
}

export type CodeRedemption = Pick<LoginOptions, 'client' | 'redirectUri' | 'hasIssuer'>;

/** One exchange. @throws exchange codes */
export async function redeemCode(
  by: CodeRedemption,
  server: oauth.AuthorizationServer,
  code: string,
  verifier: string,
): Promise<TokenAnswer> {
  return readLogin(by.client, await sendCode(by, server, code, verifier), [code, verifier]);
}

async function sendCode(
  { client, redirectUri, hasIssuer }: CodeRedemption,
  server: oauth.AuthorizationServer,
  code: string,
  verifier: string,
): Promise<ProvedAnswer> {
  const library = libraryClient(client);
  // State and `iss` are checked by now; the library only wants to see that somebody did.
  const checked = oauth.validateAuthResponse(
    server,
    library,
    new URLSearchParams({ code, ...(hasIssuer && { iss: server.issuer }) }),
    oauth.expectNoState,
  );
  for (let isRepeat = false; ; isRepeat = true) {
    try {
      return await ask(client.call, exchangeCall, (options) =>
        oauth.authorizationCodeGrantRequest(server, library, client.clientAuth, checked, redirectUri, verifier, {
          ...options,
          additionalParameters: client.tokenParams,
        }),
      );
    } catch (thrown) {
      if (!(thrown instanceof SidebearerError)) throw thrown;
      if (isRepeat || thrown.code !== 'token_endpoint_unreachable') throw asExchangeError(thrown);
    }
  }
}

/** The tokens of a login, of whatever kind. @throws exchange codes, access_token_malformed */
export function readLogin(client: OAuthClient, answer: ProvedAnswer, sent: readonly string[]): TokenAnswer {
  let read: TokenAnswer;
  try {
    read = readAnswer(client, answer, standardRules, sent);
  } catch (thrown) {
    throw thrown instanceof SidebearerError ? asExchangeError(thrown) : thrown;
  }
  // A login has nothing older to go on with, as a refresh has.
  if (read.accessToken === undefined) {
    if (read.warnings.some(({ code }) => code === 'access_token_malformed')) {
      throw new SidebearerError('access_token_malformed', { status: answer.status });
    }
    throw new SidebearerError('exchange_malformed', {
      status: answer.status,
      reason: 'it holds no usable access token',
    });
  }
  return read;
}

/** What the codes of a refresh are called in a login; all others are exchange_failed. */
const exchangeCodes: Partial<Record<ErrorCode, ErrorCode>> = {
  grant_rejected: 'code_rejected',
  token_endpoint_unreachable: 'exchange_unreachable',
  token_endpoint_no_answer: 'exchange_no_answer',
  token_endpoint_failing: 'exchange_busy',
  token_endpoint_limited: 'exchange_busy',
  token_endpoint_malformed: 'exchange_malformed',
  access_token_malformed: 'access_token_malformed',
  // Their own advice helps here as well.
  egress_unreachable: 'egress_unreachable',
  egress_refused: 'egress_refused',
};

const exchangeReasons: Partial<Record<ErrorCode, string>> = {
  token_endpoint_redirected: 'the token endpoint redirects elsewhere',
  region_unsupported: 'the provider does not serve the country this process calls from',
  client_rejected: 'the provider does not accept this client',
};

/** What failed in a login's own words. */
export function asExchangeError({ code, details, cause }: SidebearerError): SidebearerError {
  const reason = details.reason ?? exchangeReasons[code];
  return new SidebearerError(
    exchangeCodes[code] ?? 'exchange_failed',
    { ...details, ...(reason !== undefined && { reason }) },
    cause,
  );
}
