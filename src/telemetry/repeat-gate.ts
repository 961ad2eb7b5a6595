// Lets the first of a run of equal log lines through at once, then one an interval with the number left out between.
// It never grows without bound: the key that was quiet longest is forgotten first.
import type { Clock } from '../clock.ts';

export interface RepeatGate {
  /** How many were held back since the last one that was let through, or undefined: hold this one back, too. */
  admit(key: string): number | undefined;
}

/**
 * @param intervalMs at most one line each so long, for each key
 * @param maxKeys keys remembered; a forgotten one counts as new
 */
export function createRepeatGate(clock: Clock, intervalMs = 10_000, maxKeys = 1_000): RepeatGate {
  const entries = new Map<string, { lastMs: number; suppressed: number }>();
  return {
    admit(key) {
      const nowMs = clock.monotonicMs();
      const entry = entries.get(key);
      if (entry !== undefined && nowMs - entry.lastMs < intervalMs) {
        entry.suppressed += 1;
        return undefined;
      }
      // Set anew, so that the map's order is that of the last admission.
      entries.delete(key);
      entries.set(key, { lastMs: nowMs, suppressed: 0 });
      if (entries.size > maxKeys) {
        const [quietest] = entries.keys();
        if (quietest !== undefined) entries.delete(quietest);
      }
      return entry?.suppressed ?? 0;
    },
  };
}
