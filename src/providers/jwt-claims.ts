// Reading a JWT's payload without judging it. Never a proof of anything: signatures are checked in id-token.ts.
import { decodeJwt } from 'jose';

export type Claims = Readonly<Record<string, unknown>>;

/** The payload, or undefined where the text is not a JWT. Never throws. */
export function decodeClaims(token: string | undefined): Claims | undefined {
  if (token === undefined) return undefined;
  try {
    return decodeJwt(token);
  } catch {
    return undefined;
  }
}

/** The `exp` of an access token that happens to be a JWT, wall ms. */
export function jwtExpiresAtMs(token: string | undefined): number | undefined {
  const exp = decodeClaims(token)?.['exp'];
  if (typeof exp !== 'number') return undefined;
  const expiresAtMs = exp * 1_000;
  return Number.isFinite(expiresAtMs) && expiresAtMs > 0 ? expiresAtMs : undefined;
}

/** A claim that is a text and not empty. */
export function textClaim(claims: Claims | undefined, name: string): string | undefined {
  const value = claims?.[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A claim that is an object. */
export function objectClaim(claims: Claims | undefined, name: string): Claims | undefined {
  const value = claims?.[name];
  return isClaims(value) ? value : undefined;
}

export function isClaims(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
