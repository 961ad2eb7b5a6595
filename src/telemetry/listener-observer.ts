// What becomes of the listeners, counted and logged: bound, or failed with what happens next.
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import { type FailureLog, timeText } from './failure-log.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

export type ListenerName = 'proxy' | 'oauth' | 'telemetry';

export interface ListenerObserver {
  /** @param url as bind() tells it */
  bound(listener: ListenerName, url: string): void;
  /** @param nextAttemptAtMs wall ms, where binding is tried again; without it the process ends */
  failed(listener: ListenerName, error: SidebearerError, nextAttemptAtMs?: number): void;
}

export function createListenerObserver(telemetry: {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly failures: FailureLog;
}): ListenerObserver {
  const { metrics, logger, failures } = telemetry;
  return {
    bound(listener, url) {
      logger.info({ event: 'listener_bound', listener, url }, `Listening for ${listener} on ${url}`);
    },
    failed(listener, error, nextAttemptAtMs) {
      metrics.failed(error);
      const nextAttemptAt = timeText(nextAttemptAtMs);
      const fields = { event: 'listener_failed', listener };
      if (nextAttemptAt === undefined) failures.report('error', error, fields);
      else failures.reportRepeatable('warn', error, listener, { ...fields, nextAttemptAt });
    },
  };
}
