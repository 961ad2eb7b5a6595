// How a client proves who it is at every endpoint of its provider (RFC 6749, section 2.3; RFC 7523; RFC 8705).
// A proof is made anew for each request: an assertion serves once, and is good for a minute.
import * as oauth from 'oauth4webapi';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { parseClientKey } from './client-key.ts';

export type ClientAuthMethod = 'basic' | 'post' | 'none' | 'private_key_jwt' | 'tls_client_auth';

export interface ClientAuthOptions {
  readonly clientId: string;
  readonly clientSecret?: string | undefined;
  /** Default: `basic` with a secret, `private_key_jwt` with a key, else `none`. */
  readonly clientAuth?: ClientAuthMethod | undefined;
  /** For `private_key_jwt`: PEM or JWK. */
  readonly clientKey?: string | undefined;
  /** A configured one is also whom an assertion is for. */
  readonly tokenUrl?: string | undefined;
}

/** A provider's clock may be so much behind ours: an assertion of its future would be refused. */
const ASSERTION_BACKDATE_S = 10;
const ASSERTION_LIFE_S = 60;

/** @throws config_value_missing, config_value_invalid */
export function clientAuthOf(options: ClientAuthOptions): oauth.ClientAuth {
  const { clientId, clientSecret, clientKey } = options;
  if (clientId === '') throw missing('clientId');
  switch (clientAuthMethod(options)) {
    case 'none':
      return oauth.None();
    case 'tls_client_auth':
      // The certificate is the connection's business: `tls` of the credential.
      return oauth.TlsClientAuth();
    case 'private_key_jwt':
      if (clientKey === undefined || clientKey === '') throw missing('clientKey');
      return keyAuth(clientKey, options.tokenUrl || undefined);
    case 'post':
      return oauth.ClientSecretPost(secretOf(clientSecret));
    case 'basic':
      return oauth.ClientSecretBasic(secretOf(clientSecret));
  }
}

export function clientAuthMethod({ clientAuth, clientSecret, clientKey }: ClientAuthOptions): ClientAuthMethod {
  if (clientAuth !== undefined) return clientAuth;
  if (clientSecret !== undefined) return 'basic';
  return clientKey === undefined ? 'none' : 'private_key_jwt';
}

/**
 * @param audience default: the issuer alone, as the library has it since servers could have themselves named in a list, or
 *   another's endpoint (RFC 7523bis). A token URL that an operator wrote down is no such name, and some want it (Entra).
 */
function keyAuth(clientKey: string, audience: string | undefined): oauth.ClientAuth {
  const { key, header } = parseClientKey(clientKey);
  return oauth.PrivateKeyJwt(key, {
    [oauth.modifyAssertion](assertionHeader, payload) {
      const { iat } = payload;
      const issuedAtS = (typeof iat === 'number' ? iat : 0) - ASSERTION_BACKDATE_S;
      delete payload['nbf'];
      Object.assign(payload, { iat: issuedAtS, exp: issuedAtS + ASSERTION_LIFE_S });
      if (audience !== undefined) payload['aud'] = audience;
      Object.assign(assertionHeader, header);
    },
  });
}

function secretOf(clientSecret: string | undefined): string {
  if (clientSecret === undefined || clientSecret === '') throw missing('clientSecret');
  return clientSecret;
}

function missing(setting: string): SidebearerError {
  return new SidebearerError('config_value_missing', { setting });
}
