// The token that one credential serves now, as headers that are made once. A durable one stands in the cache of all
// credentials; one that is not durable yet stands here alone, where nothing can evict it.
import type { Clock } from '../clock.ts';
import type { Account } from '../providers/provider.ts';
import type { Authorization } from './bearer.ts';
import type { Injection } from './injection.ts';
import type { CachedToken, TokenCache } from './token-cache.ts';
import { type CurrentToken, type TokenSet, usableUntilMs } from './token-set.ts';

export interface TokenInHand {
  readonly tokens: TokenSet | undefined;
  readonly account: Account | undefined;
  /** It was redeemed, and is not durable yet. */
  readonly isUnsaved: boolean;
  /** Its headers, while it is usable. Hot: no allocation. */
  authorization(): Authorization | undefined;
  /** It stays usable for longer than this, ms. */
  isValidFor(ms: number): boolean;
  /** @returns wall ms from which it counts as expired */
  put(token: CurrentToken, isDurable: boolean, injection: Injection): number;
  clear(): void;
}

export function createTokenInHand(credential: string, cache: TokenCache, clock: Clock): TokenInHand {
  let unsaved: CachedToken | undefined;
  let tokens: TokenSet | undefined;
  let account: Account | undefined;
  return {
    get tokens() {
      return tokens;
    },
    get account() {
      return account;
    },
    get isUnsaved() {
      return unsaved !== undefined;
    },

    authorization() {
      const cached = unsaved ?? cache.get(credential);
      if (cached === undefined || clock.wallMs() >= cached.usableUntilWallMs) return undefined;
      return cached.authorization;
    },

    isValidFor: (ms) => tokens !== undefined && clock.wallMs() + ms < usableUntilMs(tokens),

    put(token, isDurable, injection) {
      ({ tokens, account } = token);
      const { accessToken } = tokens;
      const rawHeaders = accessToken === undefined ? [] : injection.render(accessToken, account);
      const usableUntilWallMs = usableUntilMs(tokens);
      const cached = { authorization: { credential, generation: token.generation, rawHeaders }, usableUntilWallMs };
      unsaved = isDurable ? undefined : cached;
      if (isDurable) cache.set(credential, cached);
      else cache.delete(credential);
      return usableUntilWallMs;
    },

    clear() {
      unsaved = undefined;
      tokens = undefined;
      account = undefined;
      cache.delete(credential);
    },
  };
}
