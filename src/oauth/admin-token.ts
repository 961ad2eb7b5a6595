// The optional secret of the administration: with `admin.token` set, whatever changes something must show it. The
// application's container reaches this listener as well as the admin does, and without it may do the same.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { SidebearerError } from '../errors/sidebearer-error.ts';

/** What a browser is asked for: it remembers the answer for our other forms. */
export const adminChallenge = 'Basic realm="Sidebearer admin token", charset="UTF-8"';

/**
 * `Authorization: Bearer TOKEN`, or Basic with the token as the password of any name: what a browser can send.
 * @throws admin_token_missing, admin_token_wrong
 */
export function checkAdminToken(request: IncomingMessage, expected: string): void {
  const shown = shownToken(request.headersDistinct['authorization'] ?? []);
  if (shown === undefined) throw new SidebearerError('admin_token_missing');
  // Digests are equally long: the comparison tells neither the token's length nor how much of it was right.
  if (!timingSafeEqual(digest(shown), digest(expected))) throw new SidebearerError('admin_token_wrong');
}

function shownToken([value, ...others]: readonly string[]): string | undefined {
  const [, scheme = '', credentials = ''] = /^([a-z]+) +(\S+)$/i.exec(value ?? '') ?? [];
  if (others.length > 0) return undefined;
  if (scheme.toLowerCase() === 'bearer') return credentials;
  if (scheme.toLowerCase() !== 'basic') return undefined;
  const pair = Buffer.from(credentials, 'base64').toString('utf8');
  return pair.includes(':') ? pair.slice(pair.indexOf(':') + 1) : undefined;
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
