// What the status page tells of the configuration of the process. Types only: names, places and codes, never a value.
import type { ErrorCode } from '../errors/catalogue.ts';

export interface ConfigurationStatus {
  /** As in `sidebearer_config_info`. */
  readonly hash: string;
  /** Since when it is in force, wall ms: when it, or a file that it names, was last read and taken. */
  readonly readAtMs: number;
  /** What the files hold now is not in force. */
  readonly refused?: RefusedConfiguration | undefined;
}

export interface RefusedConfiguration {
  /** Wall ms; of one that is refused again, the last time. */
  readonly atMs: number;
  readonly mistakes: readonly ConfigurationMistake[];
  /** How many more there are. */
  readonly more: number;
}

export interface ConfigurationMistake {
  readonly code: ErrorCode;
  readonly setting?: string;
  readonly line?: number;
  readonly column?: number;
}
