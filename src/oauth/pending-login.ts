// What must be kept between the start of a login and its callback, and how it is sealed into the store.
// It is opened only for its own state: the state's hash is the seal's context and the object's name.
import { createHash } from 'node:crypto';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Sealing } from '../stores/store.ts';

export interface PendingLogin {
  readonly credential: string;
  readonly verifier: string;
  readonly nonce: string;
  readonly redirectUri: string;
  /** SHA-256 of the cookie's value, base64url. */
  readonly cookieHash: string;
  /** A person said that another account may replace the stored one. */
  readonly replaceAccount: boolean;
  /** Whose client it was begun with. */
  readonly boundTo?: string;
  /** Wall ms. */
  readonly expiresAtMs: number;
}

/** The name of a pending login in the store: SHA-256 of the state, hex. */
export function loginId(state: string): string {
  return createHash('sha256').update(state).digest('hex');
}

export function sealPendingLogin(sealing: Sealing, id: string, login: PendingLogin): string {
  return sealing.seal(JSON.stringify(login), id);
}

/** @throws record_unopenable, record_corrupt */
export function openPendingLogin(sealing: Sealing, id: string, sealed: string): PendingLogin {
  const plaintext = sealing.open(sealed, id);
  let value: unknown;
  try {
    value = JSON.parse(plaintext);
  } catch {
    // The parser's message may quote the verifier: it is no cause.
    throw new SidebearerError('record_corrupt');
  }
  if (!isPendingLogin(value)) throw new SidebearerError('record_corrupt');
  return value;
}

function isPendingLogin(value: unknown): value is PendingLogin {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return (
    ['credential', 'verifier', 'nonce', 'redirectUri', 'cookieHash'].every((key) => typeof fields[key] === 'string') &&
    typeof fields['replaceAccount'] === 'boolean' &&
    (fields['boundTo'] === undefined || typeof fields['boundTo'] === 'string') &&
    typeof fields['expiresAtMs'] === 'number'
  );
}
