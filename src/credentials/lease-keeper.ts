// Holds one lease from the first step of a refresh to the last: renews it every third of its life and knows, on the
// monotonic clock, whether there is time enough left to send something that cannot be taken back.
import { type Clock, sleep, type Timer } from '../clock.ts';
import type { Lease, Store } from '../stores/store.ts';

export interface LeaseKeeper {
  /** The deadline is further away than the renewal interval: a redeem may begin. */
  isSafe(): boolean;
  /** Another owner has it now. */
  readonly isLost: boolean;
  /** Gives it up, best effort: who cannot is waited for as a crashed holder would be. */
  release(): Promise<void>;
}

/** Takes the lease if it can be had now; undefined where another holds it. @throws store_* */
export async function takeLease(
  store: Store,
  credential: string,
  owner: string,
  ttlMs: number,
  clock: Clock,
): Promise<LeaseKeeper | undefined> {
  const taken = await store.lease(credential, owner, ttlMs);
  return taken.held ? undefined : keep(taken.lease, ttlMs, clock);
}

/**
 * The same for a command that works beside running sidecars, which waits for a holder: one that died is stale after
 * one TTL, one that lives has ended its refresh by two.
 */
export async function awaitLease(
  credential: string,
  { store, owner, leaseMs, clock }: { store: Store; owner: string; leaseMs: number; clock: Clock },
): Promise<LeaseKeeper | undefined> {
  const endsAtMs = clock.monotonicMs() + 2 * leaseMs;
  for (;;) {
    const lease = await takeLease(store, credential, owner, leaseMs, clock);
    if (lease !== undefined || clock.monotonicMs() >= endsAtMs) return lease;
    await sleep(clock, Math.min(leaseMs / 10, 1_000));
  }
}

function keep(lease: Lease, ttlMs: number, clock: Clock): LeaseKeeper {
  const intervalMs = ttlMs / 3;
  let isLost = false;
  let released = false;
  let renewal: Promise<void> = Promise.resolve();
  let timer: Timer = arm();

  function arm(): Timer {
    return clock.after(
      intervalMs,
      () => {
        renewal = renew();
      },
      { background: true },
    );
  }

  async function renew(): Promise<void> {
    try {
      isLost = !(await lease.renew());
    } catch {
      // The store is out of reach: the deadline stays where it is, and isSafe() tells when it has come too near.
    }
    if (!released && !isLost) timer = arm();
  }

  return {
    isSafe: () => !isLost && !released && lease.deadlineMs - clock.monotonicMs() > intervalMs,
    get isLost() {
      return isLost;
    },
    async release() {
      released = true;
      timer.cancel();
      await renewal;
      if (isLost) return;
      try {
        await lease.release();
      } catch {
        // It goes stale by itself after one TTL.
      }
    },
  };
}
