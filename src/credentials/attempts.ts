// The attempts of one refresh: through the breaker, with exponential backoff and the provider's Retry-After.
// Where an attempt spends what it sends, only failures that are known to have spent nothing are repeated here; the
// rest is the protocol's business.
import { type Clock, sleep } from '../clock.ts';
import { type SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Breaker } from './breaker.ts';

export interface AttemptPolicy {
  readonly attempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
}

export type AttemptsResult<T> =
  | { readonly kind: 'answered'; readonly answer: T }
  | { readonly kind: 'failed'; readonly error: SidebearerError }
  /** `before` said that there is no need any more, or the process stops. */
  | { readonly kind: 'ended' };

export interface AttemptParts {
  readonly clock: Clock;
  readonly breaker: Breaker;
  readonly stopping: AbortSignal;
  readonly random: () => number;
  /** What is sent serves once: an attempt whose outcome is unknown is not repeated. */
  readonly spends: boolean;
  /** Nothing was ever heard of the endpoint: a failure to connect is not its outage, but our network's start. */
  readonly isEarly: () => boolean;
  /** One call was made: `2xx` … `5xx`, or `network`. */
  readonly requested: (result: string) => void;
}

/**
 * @param before asked before every attempt but the first: false ends them without a further one
 * @param attempt one attempt; its error's row says whether another may follow
 */
export async function runAttempts<T>(
  policy: AttemptPolicy,
  parts: AttemptParts,
  before: () => Promise<boolean>,
  attempt: () => Promise<T>,
): Promise<AttemptsResult<T>> {
  const { clock, breaker, stopping, random, spends, isEarly, requested } = parts;
  const counted = async (): Promise<T> => {
    try {
      const answer = await attempt();
      requested('2xx');
      return answer;
    } catch (thrown) {
      const { code, details } = toSidebearerError(thrown);
      if (code !== 'lease_lost') requested(details.status === undefined ? 'network' : statusClass(details.status));
      throw thrown;
    }
  };
  /** What is early is no failure to the breaker. */
  const spared = async (): Promise<{ readonly answer: T } | { readonly early: SidebearerError }> => {
    try {
      return { answer: await counted() };
    } catch (thrown) {
      const error = toSidebearerError(thrown);
      if (isEarly() && isUnreached(error)) return { early: error };
      throw thrown;
    }
  };
  for (let made = 1; ; made += 1) {
    try {
      const outcome = await breaker.fire(spared);
      if ('early' in outcome) throw outcome.early;
      return { kind: 'answered', answer: outcome.answer };
    } catch (thrown) {
      const error = toSidebearerError(thrown);
      const pauseMs = backoffMs(policy, made, error.details.retryAfterMs, random);
      // A provider that asks for more than the longest backoff is left alone: that is a cooldown, not a pause.
      if (!mayRepeat(error, spends) || made >= policy.attempts || pauseMs > policy.maxBackoffMs)
        return { kind: 'failed', error };
      await sleep(clock, pauseMs, stopping);
      if (stopping.aborted || !(await before())) return { kind: 'ended' };
    }
  }
}

/** No connection came about: DNS, dial or TLS. */
export function isUnreached({ code, details }: SidebearerError): boolean {
  if (details.status !== undefined) return false;
  return code === 'token_endpoint_unreachable' || code === 'provider_unreachable' || code === 'egress_unreachable';
}

/** Whether another attempt may follow, in the same renewal. */
export function mayRepeat({ code, row }: SidebearerError, spends: boolean): boolean {
  if (code === 'breaker_open' || code === 'lease_lost') return false;
  return row.outcome === 'temporary' || (row.outcome === 'unknown' && !spends);
}

function statusClass(status: number): string {
  return `${Math.floor(status / 100)}xx`;
}

/** 1, 2, 4 … times the first pause, each up to a quarter longer so that replicas part; Retry-After where it is longer. */
function backoffMs(
  policy: AttemptPolicy,
  made: number,
  retryAfterMs: number | undefined,
  random: () => number,
): number {
  const exponentialMs = policy.initialBackoffMs * 2 ** (made - 1);
  const pauseMs = Math.min(exponentialMs * (1 + random() / 4), policy.maxBackoffMs);
  return Math.max(pauseMs, retryAfterMs ?? 0);
}
