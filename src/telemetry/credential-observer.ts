// What credentials tell, counted and logged: refreshes, breakers, the store. It decides nothing.
import type { BreakerState, CredentialObserver, RefreshEnd } from '../credentials/observer.ts';
import { catalogue } from '../errors/catalogue.ts';
import { type FailureLog, timeText } from './failure-log.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

export interface CredentialTelemetry {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly failures: FailureLog;
}

export function createCredentialObserver({ metrics, logger, failures }: CredentialTelemetry): CredentialObserver {
  const breakers = new Map<string, BreakerState>();

  /** What happens next, in one sentence: nobody should have to derive it from the code. */
  function aftermath({ nextAttemptAtMs, error }: RefreshEnd): { nextAttemptAt?: string; next?: string } {
    const nextAttemptAt = timeText(nextAttemptAtMs);
    if (nextAttemptAt !== undefined) return { nextAttemptAt };
    // The row's own advice stands where there is an error; without either, nothing follows.
    return error === undefined ? { next: 'No further attempt is planned.' } : {};
  }

  return {
    refreshEnded(credential, end) {
      metrics.refreshEnded(credential, end);
      const { trigger, outcome } = end;
      const fields = {
        credential,
        trigger,
        outcome,
        durationMs: Math.round(end.durationMs),
        expiresAt: timeText(end.expiresAtMs),
      };
      const success = { event: 'refresh_succeeded', ...fields };
      if (outcome === 'refreshed') logger.info(success, 'The token was refreshed');
      else if (outcome === 'adopted') logger.info(success, 'The token that another replica obtained was taken over');
      else if (outcome === 'superseded') logger.info(fields, 'A newer grant replaced the one that was being refreshed');
      else if (end.error === undefined) logger.warn({ ...fields, ...aftermath(end) }, 'The refresh failed');
      else {
        // Without a next attempt the grant is dead or absent: only a person helps.
        const level = end.nextAttemptAtMs === undefined ? 'error' : 'warn';
        failures.report(level, end.error, { event: 'refresh_failed', ...fields, ...aftermath(end) });
      }
    },

    tokenRequested(credential, grant, result) {
      metrics.tokenRequested(credential, grant, result);
      logger.debug({ credential, grant, result }, 'The token endpoint was called');
    },

    failed(error, credential) {
      metrics.failed(error, credential);
      const name = credential ?? error.details.credential;
      failures.reportRepeatable('warn', error, name ?? '', name === undefined ? {} : { credential: name });
    },

    storeWritten(credential, outcome) {
      metrics.storeWritten(outcome);
      // The failure itself arrives with its code as the end of a refresh or of a login, or by failed().
      logger.debug({ credential, outcome }, 'The store was written to');
    },

    dirtyChanged(credential, isDirty) {
      if (isDirty) {
        const next = 'The token serves from memory; the write is tried again by itself.';
        logger.warn({ credential, code: 'store_write_failed', next }, 'A new token is not durable yet');
      } else logger.info({ credential }, 'Every token is durable again');
    },

    breakerChanged(endpoint, egress, state) {
      metrics.breakerChanged(endpoint, egress, state);
      const key = `${endpoint} ${egress}`;
      const before = breakers.get(key) ?? 'closed';
      breakers.set(key, state);
      if (state === before) return;
      const fields = { endpoint, egress, breaker: state };
      if (state === 'open') {
        const { next } = catalogue.breaker_open;
        logger.warn({ ...fields, code: 'breaker_open', next }, 'The breaker of the token endpoint opened');
      } else if (state === 'closed') logger.info(fields, 'The breaker of the token endpoint closed');
      else logger.info(fields, 'The breaker of the token endpoint lets one attempt through');
    },

    breakerGone(endpoint, egress) {
      metrics.breakerGone(endpoint, egress);
      breakers.delete(`${endpoint} ${egress}`);
    },

    tokenRefused(credential) {
      // Not a failure yet, and a crowd of requests meets it at once: the replay's outcome tells.
      logger.debug({ event: 'token_refused', credential }, 'The upstream refused the current token');
    },
  };
}
