// The private key that a client proves itself with (private_key_jwt): read once at the start, from PEM or a JWK, and
// from then on only a handle that signs. Errors name what is wrong with it and never a word of it.
import { createPrivateKey, type KeyObject, type webcrypto } from 'node:crypto';
import { SidebearerError } from '../errors/sidebearer-error.ts';

export interface ClientKey {
  /** Not extractable. */
  readonly key: webcrypto.CryptoKey;
  /** What the assertion's header says beside the type of the signature. */
  readonly header: Readonly<Record<string, string>>;
}

interface Algorithm {
  readonly alg: string;
  readonly parameters: webcrypto.RsaHashedImportParams | webcrypto.EcKeyImportParams | { readonly name: string };
}

/** RFC 7518, section 3.3; the library signs with no shorter one. */
const LEAST_RSA_BITS = 2048;

const curves: Readonly<Record<string, { readonly alg: string; readonly namedCurve: string }>> = {
  prime256v1: { alg: 'ES256', namedCurve: 'P-256' },
  secp384r1: { alg: 'ES384', namedCurve: 'P-384' },
  secp521r1: { alg: 'ES512', namedCurve: 'P-521' },
};

/** Of a JWK, what names the key to the provider: by its id, or by its certificate as Entra wants it. */
const namingMembers = ['kid', 'x5t', 'x5t#S256'] as const;

/** @throws config_value_invalid */
export function parseClientKey(text: string): ClientKey {
  const jwk = text.trimStart().startsWith('{') ? parseJwk(text) : undefined;
  const key = importKey(text, jwk);
  const { alg, parameters } = algorithmOf(key, jwk?.['alg']);
  const header: Record<string, string> = { alg };
  for (const name of namingMembers) {
    const value = jwk?.[name];
    if (typeof value === 'string' && value !== '') header[name] = value;
  }
  return { key: key.toCryptoKey(parameters, false, ['sign']), header };
}

function parseJwk(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    throw invalid('it is cut off, or no JSON');
  }
}

function importKey(text: string, jwk: Readonly<Record<string, unknown>> | undefined): KeyObject {
  try {
    return createPrivateKey(jwk === undefined ? text : { key: jwk, format: 'jwk' });
  } catch {
    // Not attached: what OpenSSL says of it may show a piece.
    throw invalid('it is no private key in PEM or as a JWK, or it is encrypted');
  }
}

function algorithmOf(key: KeyObject, wanted: unknown): Algorithm {
  switch (key.asymmetricKeyType) {
    case 'rsa': {
      if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < LEAST_RSA_BITS) {
        throw invalid(`an RSA key must have at least ${LEAST_RSA_BITS} bits`);
      }
      const [, kind, bits] = /^(RS|PS)(256|384|512)$/.exec(String(wanted ?? 'RS256')) ?? [];
      if (kind === undefined) throw mismatched();
      const name = kind === 'RS' ? 'RSASSA-PKCS1-v1_5' : 'RSA-PSS';
      return { alg: `${kind}${bits}`, parameters: { name, hash: `SHA-${bits}` } };
    }
    case 'ec': {
      const curve = curves[key.asymmetricKeyDetails?.namedCurve ?? ''];
      if (curve === undefined) throw invalid('its curve must be P-256, P-384 or P-521');
      if (wanted !== undefined && wanted !== curve.alg) throw mismatched();
      return { alg: curve.alg, parameters: { name: 'ECDSA', namedCurve: curve.namedCurve } };
    }
    case 'ed25519': {
      // RFC 9864 names it Ed25519; what is deployed knows the older name.
      const alg = wanted ?? 'EdDSA';
      if (alg !== 'EdDSA' && alg !== 'Ed25519') throw mismatched();
      return { alg, parameters: { name: 'Ed25519' } };
    }
    default:
      throw invalid('it must be an RSA, EC or Ed25519 key');
  }
}

function mismatched(): SidebearerError {
  return invalid('its alg does not belong to this kind of key');
}

function invalid(reason: string): SidebearerError {
  return new SidebearerError('config_value_invalid', { setting: 'clientKey', reason });
}
