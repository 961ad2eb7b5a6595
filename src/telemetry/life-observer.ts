// The end of the process, logged: who asked for it, and what it had to cut. A pod that ends without a failed request
// ends with no line above info.
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import type { FailureLog } from './failure-log.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

/** `quit`: POST /quitquitquit. */
export type StopCause = 'SIGTERM' | 'SIGINT' | 'quit';

export interface LifeObserver {
  /** The process ends from here on. */
  stopping(cause: StopCause): void;
  /** It has ended but for the listener that tells of it. Cut: what was still at work when its time was over. */
  stopped(end: { readonly durationMs: number; readonly cutRequests: number; readonly cutUpgrades: number }): void;
  /** Somebody asked for the end who may not. */
  quitRefused(error: SidebearerError): void;
}

const names: Readonly<Record<StopCause, string>> = { SIGTERM: 'SIGTERM', SIGINT: 'SIGINT', quit: 'POST /quitquitquit' };

export function createLifeObserver(telemetry: {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly failures: FailureLog;
}): LifeObserver {
  const { metrics, logger, failures } = telemetry;
  return {
    stopping(cause) {
      logger.info({ event: 'stopping', cause }, `Stopping: ${names[cause]}`);
    },
    stopped({ durationMs, cutRequests, cutUpgrades }) {
      const fields = { event: 'stopped', durationMs: Math.round(durationMs), cutRequests, cutUpgrades };
      if (cutRequests + cutUpgrades === 0) logger.info(fields, 'Stopped, and nothing was cut');
      else logger.warn(fields, 'Stopped: what was not finished in time was cut');
    },
    quitRefused(error) {
      metrics.failed(error);
      failures.reportRepeatable('warn', error, '', { event: 'quit_refused' });
    },
  };
}
