// The current access tokens of all credentials, as ready-made headers. Refresh tokens and tokens that are not yet
// durable are never in it.
import { LRUCache } from 'lru-cache';
import type { Authorization } from './bearer.ts';

export interface CachedToken {
  readonly authorization: Authorization;
  /** Wall ms from which it counts as expired. */
  readonly usableUntilWallMs: number;
}

export type TokenCache = LRUCache<string, CachedToken>;

/**
 * @param credentials how many there are: with a place for each, nothing is ever evicted. Without `ttl`: lru-cache
 *   times by a clock that stops while a laptop is suspended.
 */
export function createTokenCache(credentials: number): TokenCache {
  return new LRUCache({ max: Math.max(credentials, 1) });
}
