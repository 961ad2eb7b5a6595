// The full check of a login's id token (OpenID Connect Core, section 3.1.3.7): signature by the provider's keys,
// issuer, audience, life, nonce. Its errors name the claim that failed, never a value.
import * as oauth from 'oauth4webapi';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { documentFetch } from './discovery.ts';
import type { Claims } from './jwt-claims.ts';
import { libraryClient, type OAuthClient } from './oauth-client.ts';

const KEYS_TIMEOUT_MS = 10_000;

/**
 * @param nonce undefined: none was sent, and none may be in it
 * @throws id_token_invalid; provider_unreachable, provider_metadata_invalid where the keys cannot be had
 */
export async function verifyIdToken(
  client: OAuthClient,
  server: oauth.AuthorizationServer,
  idToken: string | undefined,
  nonce: string | undefined,
): Promise<Claims> {
  if (idToken === undefined) throw invalid('the answer holds none');
  // The library judges whole token answers, and is stricter on their other fields than providers are: it is shown
  // an answer that holds the id token alone.
  const answer = new Response(JSON.stringify({ access_token: 'not shown', token_type: 'bearer', id_token: idToken }), {
    headers: { 'content-type': 'application/json' },
  });
  try {
    const judged = await oauth.processAuthorizationCodeResponse(server, libraryClient(client), answer, {
      expectedNonce: nonce ?? oauth.expectNoNonce,
      requireIdToken: true,
    });
    await oauth.validateApplicationLevelSignature(server, answer, {
      [oauth.customFetch]: documentFetch(client.call, KEYS_TIMEOUT_MS),
      [oauth.allowInsecureRequests]: true,
    });
    return oauth.getValidatedIdTokenClaims(judged) ?? {};
  } catch (thrown) {
    if (thrown instanceof SidebearerError) throw thrown;
    // Not attached: the library's `cause` holds the claims, or the token itself.
    throw invalid(reasonOf(thrown));
  }
}

const claimReasons: Readonly<Record<string, string>> = {
  iss: 'its issuer is another one',
  aud: 'it is for another client',
  azp: 'it is for another client',
  nonce: 'its nonce is not the one of this login',
};

function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof oauth.OperationProcessingError)) return 'it is signed in a way that is not supported';
  if (thrown.code === oauth.JWT_TIMESTAMP_CHECK) return 'it has expired or is not valid yet';
  if (thrown.code === oauth.KEY_SELECTION) return 'no key of the provider fits its signature';
  const { cause } = thrown;
  const claim = typeof cause === 'object' && cause !== null && 'claim' in cause ? String(cause.claim) : '';
  return claimReasons[claim] ?? 'it is malformed, or its signature is wrong';
}

function invalid(reason: string): SidebearerError {
  return new SidebearerError('id_token_invalid', { reason });
}
