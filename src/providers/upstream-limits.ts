// What any upstream tells of a limit: 429 and `Retry-After` (RFC 6585 §4). Pure, and lenient: nonsense asks for nothing.
import type { Clock } from '../clock.ts';
import type { LimitReader } from './provider.ts';
import { retryAfterMs } from './retry-after.ts';

export function createUpstreamLimits(clock: Clock): LimitReader {
  return {
    head(status, rawHeaders) {
      if (status !== 429) return undefined;
      const forMs = retryAfterMs(headerOf(rawHeaders, 'retry-after'), clock.wallMs());
      return { isQuota: false, ...(forMs !== undefined && { forMs }) };
    },
    hasMore: () => false,
    body: () => undefined,
  };
}

/** The first value of a header. @param name lower-cased */
export function headerOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length === name.length && rawHeaders[i]?.toLowerCase() === name) return rawHeaders[i + 1];
  }
  return undefined;
}
