// Follows a record that others may write: by the store's own watch, else by reading it again now and then.
import type { Clock, Timer } from '../clock.ts';
import type { Store } from '../stores/store.ts';

/** Calls `changed` after each change, or, where the store tells of none, every `intervalMs`. */
export function followRecord(
  store: Store,
  credential: string,
  intervalMs: number,
  clock: Clock,
  changed: () => void,
): { close(): void } {
  const watch = store.watch?.(credential, changed);
  if (watch !== undefined) return watch;
  let timer: Timer = arm();
  function arm(): Timer {
    return clock.after(
      intervalMs,
      () => {
        timer = arm();
        changed();
      },
      { background: true },
    );
  }
  return { close: () => timer.cancel() };
}
