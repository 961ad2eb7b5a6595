// What credentials tell the outside, typed. Telemetry turns it into metrics and log lines. Nothing here may throw,
// and no event carries a token.
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Grant } from '../providers/provider.ts';

export type RefreshTrigger = 'schedule' | 'demand' | 'manual' | 'startup';
export type RefreshOutcome = 'refreshed' | 'adopted' | 'superseded' | 'unknown' | 'failed';
export type BreakerState = 'closed' | 'open' | 'half_open';

export interface RefreshEnd {
  readonly trigger: RefreshTrigger;
  readonly outcome: RefreshOutcome;
  readonly durationMs: number;
  /** Wall ms of the token in hand now, where known. */
  readonly expiresAtMs?: number;
  readonly error?: SidebearerError;
  /** Wall ms of the next attempt, where there will be one. */
  readonly nextAttemptAtMs?: number;
}

export interface CredentialObserver {
  refreshEnded(credential: string, end: RefreshEnd): void;
  /** One call to the token endpoint: `2xx` … `5xx`, or `network`. */
  tokenRequested(credential: string, grant: Grant, result: string): void;
  /** A failure that is not the end of a refresh: odd answers, a store that cannot be read, a watch that ended. */
  failed(error: SidebearerError, credential?: string): void;
  /** A write to the store, by its outcome. */
  storeWritten(credential: string, outcome: 'committed' | 'conflict' | 'failed'): void;
  /** A redeemed token that is not yet durable, or no longer so. */
  dirtyChanged(credential: string, isDirty: boolean): void;
  breakerChanged(endpoint: string, egress: string, state: BreakerState): void;
  /** Nobody goes there any more. */
  breakerGone(endpoint: string, egress: string): void;
  /** The upstream's 401 to the token that is current. */
  tokenRefused(credential: string): void;
}
