// How the Codex upstream tells of limits: headers with the shares of two quotas, and an error in JSON with the moment
// at which the quota is there again. Whatever it sends, numbers alone come out of here.
import type { Clock } from '../clock.ts';
import type { LimitReader, Quota, UpstreamLimit } from './provider.ts';
import { createUpstreamLimits, headerOf } from './upstream-limits.ts';

/** At `error.type`, `error.code`, `type` or `code`. */
const quotaCodes: ReadonlySet<unknown> = new Set([
  'usage_limit_reached',
  'insufficient_quota',
  'billing_hard_limit_reached',
]);

const PREFIX = 'x-codex-';
const windows = ['primary', 'secondary'] as const;

export function createCodexLimits(clock: Clock): LimitReader {
  const standard = createUpstreamLimits(clock);
  return {
    quota(rawHeaders) {
      let quota: Quota | undefined;
      for (let i = 0; i < rawHeaders.length; i += 2) {
        const name = rawHeaders[i] ?? '';
        // Most names are told apart by their first letter.
        if ((name.charCodeAt(0) | 0x20) !== 0x78 || !name.toLowerCase().startsWith(PREFIX)) continue;
        for (const window of windows) {
          if (name.toLowerCase() !== `${PREFIX}${window}-used-percent`) continue;
          const percent = amount(rawHeaders[i + 1]);
          if (percent !== undefined) quota = { ...quota, [window]: percent / 100 };
        }
      }
      return quota;
    },

    head(status, rawHeaders) {
      if (status !== 429 && status !== 402) return undefined;
      const limit = standard.head(status, rawHeaders) ?? { isQuota: true };
      if (limit.forMs !== undefined) return limit;
      const used = windows.filter(
        (window) => (amount(headerOf(rawHeaders, `${PREFIX}${window}-used-percent`)) ?? 0) >= 100,
      );
      const resets = used.map((window) => amount(headerOf(rawHeaders, `${PREFIX}${window}-reset-after-seconds`)) ?? 0);
      const forMs = Math.max(0, ...resets) * 1_000;
      return { isQuota: limit.isQuota || used.length > 0, ...(forMs > 0 && { forMs }) };
    },

    hasMore(status, rawHeaders) {
      if (status < 400 || status === 401 || status >= 500) return false;
      const encoding = headerOf(rawHeaders, 'content-encoding');
      if (encoding !== undefined && encoding.trim().toLowerCase() !== 'identity') return false;
      return /^application\/(?:[\w.+-]+\+)?json\b/i.test(headerOf(rawHeaders, 'content-type')?.trim() ?? '');
    },

    body: (start) => readBody(start, clock.wallMs()),
  };
}

function readBody(start: string, nowMs: number): UpstreamLimit | undefined {
  const document = asMapping(parse(start));
  const error = asMapping(document['error']);
  const isQuota = [error['type'], error['code'], document['type'], document['code'], document['error']].some((code) =>
    quotaCodes.has(typeof code === 'string' ? code.toLowerCase() : code),
  );
  if (!isQuota) return undefined;
  const [resetsAt, resetsIn] = ['resets_at', 'resets_in_seconds'].map((key) => amount(error[key] ?? document[key]));
  // Whichever clock is right, a duration does not depend on it.
  const forMs = resetsIn !== undefined ? resetsIn * 1_000 : resetsAt !== undefined ? resetsAt * 1_000 - nowMs : 0;
  return { isQuota, ...(forMs > 0 && { forMs }) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Cut, or something else than it says: it tells nothing.
    return undefined;
  }
}

function asMapping(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

/** A number of at most 2^53 that is not negative, also as text. */
function amount(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d{1,15}(?:\.\d{1,9})?$/.test(value.trim()) ? Number(value) : value;
  return typeof number === 'number' && number >= 0 && number <= Number.MAX_SAFE_INTEGER ? number : undefined;
}
