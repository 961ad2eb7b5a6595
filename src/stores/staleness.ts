// Tells when a lease's holder is gone: its counter has not moved for a whole TTL, seen by this reader's own
// monotonic clock. It never looks at a process id, another host's clock, or the wall clock.

/** One look at a lease, in monotonic ms. */
export interface Look {
  readonly counter: string;
  /** When the read was sent. */
  readonly askedMs: number;
  /** When its answer was here. */
  readonly answeredMs: number;
}

export interface Staleness {
  /** Notes the look; true where the counter has stood still for `ttlMs` for certain. */
  isStale(credential: string, look: Look, ttlMs: number): boolean;
}

export function createStaleness(): Staleness {
  const firstSeen = new Map<string, { readonly counter: string; readonly sinceMs: number }>();
  return {
    isStale(credential, look, ttlMs) {
      const seen = firstSeen.get(credential);
      if (seen === undefined || seen.counter !== look.counter) {
        // A read tells the state of some moment between asking and answer: counted from the latest to the earliest,
        // so that a slow store makes the wait longer, never shorter.
        firstSeen.set(credential, { counter: look.counter, sinceMs: look.answeredMs });
        return false;
      }
      return look.askedMs - seen.sinceMs >= ttlMs;
    },
  };
}
