// The cookie that binds a login to the browser which started it: 32 random bytes, one cookie for each login.
// Only its hash is kept (in the sealed pending login); the cookie's value goes nowhere else.
import { createHash, timingSafeEqual } from 'node:crypto';
import { parseCookie, stringifySetCookie } from 'cookie';

/** How long a login may take, from the start page to the callback. */
export const LOGIN_LIFE_MS = 30 * 60_000;

/** @param id SHA-256 of the state, hex; its first half tells logins apart and reveals nothing */
export function loginCookieName(id: string): string {
  return `sidebearer-login-${id.slice(0, 32)}`;
}

/**
 * The `Set-Cookie` of a new login. Lax, as Strict is not sent on the provider's redirect; Secure only where the
 * browser comes over https, as WebKit drops it on http://localhost.
 */
export function setLoginCookie(id: string, value: string, isSecure: boolean): string {
  return serialize(id, value, isSecure, LOGIN_LIFE_MS / 1000);
}

/** The `Set-Cookie` that takes it away again. */
export function clearLoginCookie(id: string, isSecure: boolean): string {
  return serialize(id, '', isSecure, 0);
}

function serialize(id: string, value: string, isSecure: boolean, maxAge: number): string {
  const name = loginCookieName(id);
  return stringifySetCookie({ name, value, maxAge, path: '/', httpOnly: true, sameSite: 'lax', secure: isSecure });
}

/** The browser's cookie for this login. @param header the request's `Cookie`, as it came */
export function readLoginCookie(header: string | undefined, id: string): string | undefined {
  const value = parseCookie(header ?? '')[loginCookieName(id)];
  return value === '' ? undefined : value;
}

/** SHA-256, base64url. */
export function hashLoginCookie(value: string): string {
  return createHash('sha256').update(value).digest('base64url');
}

/** In constant time. */
export function loginCookieMatches(value: string, hash: string): boolean {
  const [actual, expected] = [Buffer.from(hashLoginCookie(value)), Buffer.from(hash)];
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}
