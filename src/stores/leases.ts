// The lease protocol over any cell that can compare and swap: take, renew, release, one step each.
// It never waits, and never takes a lease whose holder may still be alive.
import type { Clock } from '../clock.ts';
import { createStaleness } from './staleness.ts';
import type { Lease, LeaseResult } from './store.ts';

/** A lease as it stands in the store. */
export interface LeaseState {
  /** Moves with every write; compared for equality only. */
  readonly counter: string;
  /** Undefined: nobody holds it. */
  readonly owner: string | undefined;
}

/** Where leases are kept. A lease that was never written has an owner of undefined and some counter to swap on. */
export interface LeaseCell {
  read(credential: string): Promise<LeaseState>;
  /**
   * Writes a new counter and `owner` only where the counter still is `expected`; else false.
   * @param ttlMs for a store that sweeps up what nobody renews
   */
  swap(credential: string, expected: string, owner: string | undefined, ttlMs: number): Promise<boolean>;
}

/** How often a swap that lost is tried again: each loss means that somebody else moved on. */
const maxSwaps = 8;

/** `Store.lease` over a cell; what it has seen of other holders lives as long as what it returns. */
export function createLeases(
  cell: LeaseCell,
  clock: Clock,
): (name: string, owner: string, ttlMs: number) => Promise<LeaseResult> {
  const staleness = createStaleness();
  return async (credential, owner, ttlMs) => {
    let holder = '';
    for (let attempt = 0; attempt < maxSwaps; attempt += 1) {
      const askedMs = clock.monotonicMs();
      const state = await cell.read(credential);
      const look = { counter: state.counter, askedMs, answeredMs: clock.monotonicMs() };
      if (state.owner !== undefined && state.owner !== owner) {
        holder = state.owner;
        if (!staleness.isStale(credential, look, ttlMs)) return { held: true, owner: holder };
      }
      if (await cell.swap(credential, state.counter, owner, ttlMs)) {
        return { held: false, lease: createLease(cell, clock, { credential, owner, ttlMs, askedMs }) };
      }
    }
    return { held: true, owner: holder };
  };
}

interface Taken {
  readonly credential: string;
  readonly owner: string;
  readonly ttlMs: number;
  /** When the request that took it was sent. */
  readonly askedMs: number;
}

function createLease(cell: LeaseCell, clock: Clock, taken: Taken): Lease {
  const { credential, owner, ttlMs } = taken;
  let deadlineMs = taken.askedMs + ttlMs;
  /** Swaps as long as it is ours; the moment at which the successful request was sent, or undefined. */
  const swapOurs = async (next: string | undefined): Promise<number | undefined> => {
    for (let attempt = 0; attempt < maxSwaps; attempt += 1) {
      const askedMs = clock.monotonicMs();
      const state = await cell.read(credential);
      if (state.owner !== owner) return undefined;
      if (await cell.swap(credential, state.counter, next, ttlMs)) return askedMs;
    }
    return undefined;
  };
  return {
    get deadlineMs() {
      return deadlineMs;
    },
    async renew() {
      const sentMs = await swapOurs(owner);
      if (sentMs === undefined) return false;
      // Two renewals may overlap and end in either order.
      deadlineMs = Math.max(deadlineMs, sentMs + ttlMs);
      return true;
    },
    async release() {
      await swapOurs(undefined);
    },
  };
}
