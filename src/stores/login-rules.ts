// What all stores hold pending logins to: how many there may be, how long an ended one is remembered.
// Pure; a tombstone never holds the sealed payload.
import type { FoundLogin } from './store.ts';

/** Pending ones of one credential; expired ones do not count. */
export const maxPendingLogins = 16;

/** How long an ended login is remembered, from its end. */
export const tombstoneMs = 30 * 60_000;

/** A login as `put` takes it. */
export interface PendingLogin {
  readonly credential: string;
  readonly sealed: string;
  /** Wall ms. */
  readonly expiresAtMs: number;
}

/** What is left of an ended login. */
export interface Tombstone {
  readonly outcome: 'used' | 'expired';
  /** Wall ms at which it is forgotten. */
  readonly expiresAtMs: number;
}

/** What a login counts as at `nowMs` (wall); a tombstone wins over a payload that was not yet removed. */
export function judgeLogin(
  pending: PendingLogin | undefined,
  tombstone: Tombstone | undefined,
  nowMs: number,
): FoundLogin {
  if (tombstone !== undefined) return { status: nowMs < tombstone.expiresAtMs ? tombstone.outcome : 'unknown' };
  if (pending === undefined) return { status: 'unknown' };
  if (nowMs < pending.expiresAtMs) {
    const { credential, sealed, expiresAtMs } = pending;
    return { status: 'pending', credential, sealed, expiresAtMs };
  }
  return { status: nowMs < pending.expiresAtMs + tombstoneMs ? 'expired' : 'unknown' };
}
