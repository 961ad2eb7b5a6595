// What stands of the configuration: which is in force since when, and whether the files hold one that was refused. It
// listens to the reloader and passes on what it hears.
import type { Clock } from '../clock.ts';
import type { ReloadMistake, ReloadObserver } from '../config/reload-observer.ts';
import type { ConfigurationMistake, ConfigurationStatus, RefusedConfiguration } from '../oauth/configuration-status.ts';

export interface ConfigurationStanding {
  status(): ConfigurationStatus;
  /** To be told of every reload. */
  readonly reloads: ReloadObserver;
}

/** A whole new file may be full of them. */
const MOST_MISTAKES = 20;

/** @param hash of what is in force; asked when something was applied */
export function createConfigurationStanding(
  next: ReloadObserver,
  hash: () => string,
  clock: Clock,
): ConfigurationStanding {
  const taken = () => ({ hash: hash(), readAtMs: clock.wallMs() });
  let inForce = taken();
  let refused: RefusedConfiguration | undefined;
  return {
    status: () => ({ ...inForce, ...(refused !== undefined && { refused }) }),
    reloads: {
      applied(change) {
        inForce = taken();
        refused = undefined;
        next.applied(change);
      },
      refused(mistakes) {
        const shown = mistakes.slice(0, MOST_MISTAKES).map(mistakeOf);
        refused = { atMs: clock.wallMs(), mistakes: shown, more: mistakes.length - shown.length };
        next.refused(mistakes);
      },
      unchanged() {
        refused = undefined;
        next.unchanged();
      },
    },
  };
}

function mistakeOf({ error: { code, details } }: ReloadMistake): ConfigurationMistake {
  const { setting, line, column } = details;
  return {
    code,
    ...(setting !== undefined && setting !== '' && { setting }),
    ...(line !== undefined && { line }),
    ...(column !== undefined && { column }),
  };
}
