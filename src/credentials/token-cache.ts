// The current access tokens of all credentials, as ready-made headers. Refresh tokens and tokens that are not yet
// durable are never in it.
import { LRUCache } from 'lru-cache';
import type { Authorization } from './bearer.ts';

export interface CachedToken {
  readonly authorization: Authorization;
  /** Wall ms from which it counts as expired. */
  readonly usableUntilWallMs: number;
}

export interface TokenCache {
  get(credential: string): CachedToken | undefined;
  set(credential: string, token: CachedToken): void;
  delete(credential: string): void;
  /** There are so many credentials from now on. */
  resize(credentials: number): void;
}

/**
 * @param credentials how many there are: with a place for each, nothing is ever evicted. Without `ttl`: lru-cache
 *   times by a clock that stops while a laptop is suspended.
 */
export function createTokenCache(credentials: number): TokenCache {
  const create = (places: number) => new LRUCache<string, CachedToken>({ max: Math.max(places, 1) });
  let cache = create(credentials);
  return {
    get: (credential) => cache.get(credential),
    set: (credential, token) => void cache.set(credential, token),
    delete: (credential) => void cache.delete(credential),
    resize(places) {
      if (Math.max(places, 1) <= cache.max) return;
      const larger = create(places);
      larger.load(cache.dump());
      cache = larger;
    },
  };
}
