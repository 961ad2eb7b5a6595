// What becomes of changes to the configuration, counted and logged: applied, with what changed, or refused, with every
// mistake on a line of its own.
import type { ReloadObserver } from '../config/reload-observer.ts';
import type { FailureLog } from './failure-log.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

/** So many are named on a line; a whole new file may change thousands. */
const MOST_NAMED = 100;

export function createReloadObserver(telemetry: {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly failures: FailureLog;
}): ReloadObserver {
  const { metrics, logger, failures } = telemetry;
  return {
    applied({ settings, files }) {
      metrics.configReloaded('applied');
      const fields = { event: 'config_reloaded', settings: textOf(settings), files: textOf(files) };
      logger.info(fields, 'The configuration was changed');
    },
    refused(mistakes) {
      metrics.configReloaded('refused');
      for (const { error, text } of mistakes) {
        metrics.failed(error);
        failures.report('error', error, { event: 'config_refused', mistake: text });
      }
      const fields = { event: 'config_refused', mistakes: mistakes.length };
      logger.error(fields, 'The changed configuration was refused; the one before it goes on');
    },
    unchanged() {
      logger.info({ event: 'config_unchanged' }, 'The configuration says what it said before');
    },
  };
}

/** Text: in a list, what follows a name such as `store.keys` would be taken for its value and redacted. */
function textOf(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
