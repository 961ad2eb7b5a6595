// Time as an argument: wall time for expiry, monotonic time for waiting and leases, timers for the schedule.
// Nothing else in src/ reads a clock or arms a timer on credentials' behalf, so that a test can own time.
import { setTimeout as nodeSetTimeout } from 'node:timers';

/** The longest delay `setTimeout` takes; above it Node fires at once (2^31 − 1 ms, 24.8 days). */
const MAX_TIMER_MS = 2_147_483_647;

/** A timer that can be called off. Cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** What a part knows of time. */
export interface Clock {
  /** Milliseconds since 1970, as the machine believes; may jump either way. */
  wallMs(): number;
  /** Milliseconds since some fixed moment; never goes back. */
  monotonicMs(): number;
  /**
   * Calls `fire` once after `delayMs` (0 and less: on the next turn; any length). With `background` the timer
   * does not keep the process alive.
   */
  after(delayMs: number, fire: () => void, options?: { background?: boolean }): Timer;
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, fire, options) {
    let handle: NodeJS.Timeout;
    const arm = (remainingMs: number): void => {
      const slice = Math.min(Math.max(remainingMs, 0), MAX_TIMER_MS);
      handle = nodeSetTimeout(() => (remainingMs > slice ? arm(remainingMs - slice) : fire()), slice);
      if (options?.background === true) handle.unref();
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Resolves after `delayMs`, or at once when `signal` aborts (it never rejects: the caller looks at the signal). */
export function sleep(
  clock: Clock,
  delayMs: number,
  signal?: AbortSignal,
  options?: { background?: boolean },
): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(delayMs, done, options);
    signal?.addEventListener('abort', done, { once: true });
  });
}
