// Watches on Secrets, one a credential, that last: a connection that ends is followed by the next, and what changed
// between the two is told when the next one stands.
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { WatchOptions } from './kubernetes-api.ts';

export interface KubernetesWatchesOptions {
  readonly watch: (credential: string, options: WatchOptions) => Promise<void>;
  readonly look: (credential: string) => Promise<Look>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onWarning: (warning: SidebearerError) => void;
}

/** Where a watch begins. */
export interface Look {
  /** `resourceVersion` of the Secret; undefined: there is none. */
  readonly since: string | undefined;
  /** Its record is not the one that this process has read or written last. */
  readonly hasChanged: boolean;
}

export interface KubernetesWatches {
  add(credential: string, changed: () => void): { close(): void };
  close(): void;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** One that ends sooner is followed by longer and longer pauses: a thousand replicas ask the same server. */
const LASTING_MS = 30_000;

interface Watched {
  readonly callbacks: Set<() => void>;
  readonly ending: AbortController;
}

export function createKubernetesWatches(options: KubernetesWatchesOptions): KubernetesWatches {
  const { clock, random, onWarning } = options;
  const all = new Map<string, Watched>();

  /** Until nobody watches any more. */
  const follow = async (credential: string, { callbacks, ending }: Watched): Promise<void> => {
    const { signal } = ending;
    const tell = (): void => {
      if (!signal.aborted) for (const changed of callbacks) changed();
    };
    let pauseMs = FIRST_PAUSE_MS;
    let hasWarned = false;
    while (!signal.aborted) {
      let openedAtMs = Number.POSITIVE_INFINITY;
      try {
        // What was committed before a watch begins is in no event of it.
        const { since, hasChanged } = await options.look(credential);
        if (hasChanged) tell();
        await options.watch(credential, {
          signal,
          since,
          opened() {
            openedAtMs = clock.monotonicMs();
            hasWarned = false;
          },
          changed: tell,
        });
      } catch (thrown) {
        if (signal.aborted) return;
        const { details } = toSidebearerError(thrown);
        if (!hasWarned) onWarning(new SidebearerError('store_watch_failed', { credential, ...details }));
        hasWarned = true;
        // Where no watch can be had the record is read from time to time.
        tell();
      }
      if (clock.monotonicMs() - openedAtMs >= LASTING_MS) pauseMs = FIRST_PAUSE_MS;
      await sleep(clock, pauseMs * (0.5 + random() / 2), signal, { background: true });
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  };

  const end = (credential: string, watched: Watched): void => {
    watched.ending.abort();
    all.delete(credential);
  };

  return {
    add(credential, changed) {
      // Its own function each time, so that one callback given twice is two watches.
      const call = (): void => changed();
      const known = all.get(credential);
      const watched = known ?? { callbacks: new Set(), ending: new AbortController() };
      watched.callbacks.add(call);
      if (known === undefined) {
        all.set(credential, watched);
        void follow(credential, watched);
      }
      return {
        close() {
          watched.callbacks.delete(call);
          if (watched.callbacks.size === 0 && all.get(credential) === watched) end(credential, watched);
        },
      };
    },
    close() {
      for (const [credential, watched] of all) end(credential, watched);
    },
  };
}
