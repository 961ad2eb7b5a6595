// A command started a login and waits; the browser begins one of its own, whose cookie it can get only from our pages.
// This ties the two, so that the command hears how the browser's ended. It holds no state and no handle, only hashes.
import type { Clock } from '../clock.ts';
import type { LoginFacts } from './login-work.ts';

/** The login that waits for another one. */
export interface Watcher {
  readonly id: string;
  readonly facts: LoginFacts;
}

export interface WatchedLogins {
  begin(id: string, watcher: Watcher): void;
  watcherOf(id: string): Watcher | undefined;
  /** The logins that a browser began for it, and that have not ended. */
  watchedBy(watcherId: string): readonly string[];
  end(id: string): void;
}

/** More than can be pending for several credentials; the oldest are forgotten above it. */
const MOST_WATCHED = 256;

export function createWatchedLogins(clock: Clock): WatchedLogins {
  const watchers = new Map<string, Watcher>();

  function forgetOld(): void {
    for (const [id, { facts }] of watchers) {
      if (facts.expiresAtMs <= clock.wallMs() || watchers.size >= MOST_WATCHED) watchers.delete(id);
    }
  }

  return {
    begin(id, watcher) {
      forgetOld();
      watchers.set(id, watcher);
    },
    watcherOf: (id) => watchers.get(id),
    watchedBy: (watcherId) => [...watchers].filter(([, { id }]) => id === watcherId).map(([id]) => id),
    end: (id) => void watchers.delete(id),
  };
}
