// What a `Retry-After` asks for (RFC 9110, section 10.2.3). Nonsense asks for nothing.

/** A date begins with its weekday in all three forms of RFC 9110, section 5.6.7; `Date.parse` alone takes far more. */
const httpDate = /^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? /i;

/**
 * Milliseconds from `nowMs` (wall) until another request is welcome; undefined where nothing sensible is said, or
 * the moment is past. Uncapped: what is too long is the caller's business.
 */
export function retryAfterMs(header: string | readonly string[] | undefined, nowMs: number): number | undefined {
  const value = (typeof header === 'string' ? header : header?.[0])?.trim() ?? '';
  const waitMs = /^\d+$/.test(value) ? Number(value) * 1_000 : untilDateMs(value, nowMs);
  return Number.isSafeInteger(waitMs) && waitMs > 0 ? waitMs : undefined;
}

function untilDateMs(value: string, nowMs: number): number {
  if (!httpDate.test(value)) return Number.NaN;
  // The asctime form names no zone and means GMT, where `Date.parse` would take the machine's own.
  return Math.ceil(Date.parse(value.endsWith('GMT') ? value : `${value} GMT`) - nowMs);
}
