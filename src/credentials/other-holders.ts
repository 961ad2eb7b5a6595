// Waiting for what others do to a record: whoever holds the lease, or has announced a redeem and may still write it.
// It never polls a store that tells of changes by itself, and never waits longer than it was told to.
import { type Clock, sleep } from '../clock.ts';
import type { Intent, Store } from '../stores/store.ts';
import type { RecordJudge } from './record-judge.ts';
import type { Records } from './records.ts';

export interface OtherHolders {
  /** Until the record changes, at most a renewal interval of the lease. */
  change(stopping: AbortSignal): Promise<void>;
  /** Until whoever announced this redeem has written its outcome, at most so long, ms. */
  outcome(intent: Intent, mostMs: number, stopping: AbortSignal): Promise<void>;
}

export interface OtherHoldersOptions {
  readonly credential: string;
  readonly store: Store;
  readonly records: Records;
  readonly judge: RecordJudge;
  readonly clock: Clock;
  readonly random: () => number;
  readonly leaseMs: number;
}

/** Where nothing tells of changes, the record is read again after this, ms, and up to so much more. */
const LEAST_POLL_MS = 250;
const POLL_JITTER_MS = 1_750;

export function createOtherHolders(options: OtherHoldersOptions): OtherHolders {
  const { credential, store, records, judge, clock, random, leaseMs } = options;

  async function waitForChange(stopping: AbortSignal, mostMs: number): Promise<void> {
    const changed = new AbortController();
    const watch = store.watch?.(credential, () => changed.abort());
    const longestMs = watch === undefined ? Math.min(LEAST_POLL_MS + random() * POLL_JITTER_MS, mostMs) : mostMs;
    await sleep(clock, longestMs, AbortSignal.any([stopping, changed.signal]));
    watch?.close();
  }

  return {
    change: (stopping) => waitForChange(stopping, leaseMs / 3),

    async outcome({ owner, fingerprint }, mostMs, stopping) {
      const endsAtMs = clock.monotonicMs() + mostMs;
      for (let leftMs = mostMs; leftMs > 0 && !stopping.aborted; leftMs = endsAtMs - clock.monotonicMs()) {
        await waitForChange(stopping, Math.min(leaseMs / 3, leftMs));
        const now = await records.read().catch(() => undefined);
        // Out of reach, it may still be written.
        if (now === undefined) continue;
        const intent = judge.liveIntent(now);
        if (intent?.owner !== owner || intent.fingerprint !== fingerprint) return;
      }
    },
  };
}
