// When a token is due: its expiry, less the lead, less a jitter that only ever makes it earlier.

export interface LeadPolicy {
  /** Configured or the preset's; undefined: 20 % of the life, between 30 s and 10 min. */
  readonly leadMs: number | undefined;
  /** Share of the lead, 0 to 1. */
  readonly jitter: number;
}

const LEAST_LEAD_MS = 30_000;
const LONGEST_LEAD_MS = 600_000;

/**
 * Wall ms at which the token is due; Infinity where its expiry is unknown: then the upstream's 401 alone renews it.
 * The lead is at most half of the life (5 days against a token of one hour would refresh for ever).
 * @param random in [0, 1)
 */
export function dueAtMs(
  tokens: { readonly expiresAtMs?: number; readonly obtainedAtMs: number },
  policy: LeadPolicy,
  random: number,
): number {
  if (tokens.expiresAtMs === undefined) return Number.POSITIVE_INFINITY;
  const lifeMs = Math.max(tokens.expiresAtMs - tokens.obtainedAtMs, 0);
  const wishedMs = policy.leadMs ?? Math.min(Math.max(lifeMs * 0.2, LEAST_LEAD_MS), LONGEST_LEAD_MS);
  const leadMs = Math.min(wishedMs, lifeMs / 2);
  return tokens.expiresAtMs - Math.min(leadMs * (1 + policy.jitter * random), lifeMs);
}
