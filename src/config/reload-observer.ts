// What is told of changes to the configuration of a running process. Types only: telemetry implements it. Names and
// places, never values.
import type { SidebearerError } from '../errors/sidebearer-error.ts';

/** What a reload changed. */
export interface AppliedChange {
  /** `routes[0].upstream`, `credentials.api.clientSecret`; none where only the contents of certificates are new. */
  readonly settings: readonly string[];
  /** Files whose contents are new. */
  readonly files: readonly string[];
}

/** One mistake of a configuration that was refused. */
export interface ReloadMistake {
  readonly error: SidebearerError;
  /** With its place, as `sidebearer check` tells it. */
  readonly text: string;
}

export interface ReloadObserver {
  applied(change: AppliedChange): void;
  /** Nothing was changed. */
  refused(mistakes: readonly ReloadMistake[]): void;
  /** Somebody asked, and there was nothing to do. */
  unchanged(): void;
}
