// A clock whose pauses are over at once: time goes by as much as was waited for, and a test reads what that was.
import type { Clock } from '../../src/clock.ts';

export interface HurriedClock extends Clock {
  /** Every pause in the order in which they began, ms. */
  readonly pauses: number[];
  /** Time that goes by without anybody waiting. */
  pass(ms: number): void;
}

export function createHurriedClock(): HurriedClock {
  let nowMs = 0;
  const pauses: number[] = [];
  return {
    pauses,
    pass(ms) {
      nowMs += ms;
    },
    wallMs: () => 1_800_000_000_000 + nowMs,
    monotonicMs: () => nowMs,
    after(delayMs, fire) {
      pauses.push(delayMs);
      const handle = setImmediate(() => {
        nowMs += delayMs;
        fire();
      });
      return { cancel: () => clearImmediate(handle) };
    },
  };
}
