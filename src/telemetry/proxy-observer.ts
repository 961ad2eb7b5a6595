// What the proxy tells, counted and logged. One call a request is on the hot path: it counts, and it builds a line
// only for a failure or where the access log is asked for. Never a path or a header: both may hold secrets.
import type { ProxyObserver, RequestEnd } from '../proxy/observer.ts';
import type { FailureLog } from './failure-log.ts';
import type { LogFields, Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';
import type { RepeatGate } from './repeat-gate.ts';

export interface ProxyTelemetry {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly failures: FailureLog;
  /** Against a flood of equal lines that are no failures. */
  readonly gate: RepeatGate;
  /** One line at info for each request; asked at each. */
  readonly accessLog: () => boolean;
}

export function createProxyObserver({ metrics, logger, failures, gate, accessLog }: ProxyTelemetry): ProxyObserver {
  return {
    requestBegan: metrics.requestBegan,

    requestEnded(end) {
      metrics.requestEnded(end);
      if (accessLog() && logger.isEnabled('info')) logger.info(accessFields(end), 'Request');
      if (end.error !== undefined) {
        const subject = `${end.route ?? ''} ${end.error.details.credential ?? ''}`;
        failures.reportRepeatable('warn', end.error, subject, requestFields(end));
      }
    },

    replayed(route, outcome) {
      metrics.replayed(route, outcome);
      logger.debug({ route, outcome }, 'A request was answered with 401 and its token was renewed');
    },

    challenged(route, credential, challenge) {
      const suppressed = gate.admit(`${route} ${credential} ${challenge}`);
      if (suppressed === undefined) return;
      const fields = { event: 'token_refused', route, credential, challenge };
      logger.info(suppressed === 0 ? fields : { ...fields, suppressed }, 'The upstream refused the token');
    },

    upgradesChanged: metrics.upgradesChanged,

    failed(error) {
      metrics.failed(error);
      failures.reportRepeatable('warn', error, '');
    },
  };
}

function requestFields({ route, method, status, aborted }: RequestEnd): LogFields {
  // The answer's status goes under a name of its own: `status` among an error's details is the other side's.
  return { route, method, answered: status, ...(aborted && { aborted }) };
}

function accessFields(end: RequestEnd): LogFields {
  return {
    ...requestFields(end),
    durationMs: roundMs(end.durationMs),
    ...(end.upstreamTtfbMs !== undefined && { ttfbMs: roundMs(end.upstreamTtfbMs) }),
    ...(end.error !== undefined && { code: end.error.code }),
  };
}

/** To the microsecond. */
function roundMs(durationMs: number): number {
  return Math.round(durationMs * 1000) / 1000;
}
