// Prints a failure as one line with its code, and keeps a run of equal ones from flooding the log.
// It counts nothing: metrics count every one.
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import { failureFields } from './failure-fields.ts';
import type { LogFields, Logger } from './logger.ts';
import type { RepeatGate } from './repeat-gate.ts';

export interface FailureLog {
  /**
   * @param error its message is the line's message
   * @param fields besides those of the error; they win over them
   */
  report(level: 'info' | 'warn' | 'error', error: SidebearerError, fields?: LogFields): void;
  /** The same, at once and then at most one line each interval for this code and `subject`. */
  reportRepeatable(level: 'info' | 'warn' | 'error', error: SidebearerError, subject: string, fields?: LogFields): void;
}

export function createFailureLog(logger: Logger, gate: RepeatGate): FailureLog {
  const report: FailureLog['report'] = (level, error, fields) => {
    const effective = error.code === 'internal_error' ? 'error' : level;
    logger[effective]({ ...failureFields(error), ...fields }, error.message);
  };
  return {
    report,
    reportRepeatable(level, error, subject, fields) {
      const suppressed = gate.admit(`${error.code} ${subject}`);
      if (suppressed === undefined) return;
      report(level, error, suppressed === 0 ? fields : { ...fields, suppressed });
    },
  };
}

/** Wall ms as an operator reads it; undefined where there is none to print. */
export function timeText(wallMs: number | undefined): string | undefined {
  if (wallMs === undefined || !(Math.abs(wallMs) <= 8.64e15)) return undefined;
  return new Date(wallMs).toISOString();
}
