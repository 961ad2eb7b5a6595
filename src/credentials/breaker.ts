// The breaker on one token endpoint (opossum), and the gate that keeps a crowd of redeems from becoming a storm.
// Only outages open it: a provider that answers with a judgement is alive.
import CircuitBreaker from 'opossum';
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { BreakerState } from './observer.ts';

/** Redeems in flight at one token endpoint, at most. */
const GATE_WIDTH = 4;
/** While the one attempt that may close it is on its way, ms. */
const TRIAL_PAUSE_MS = 1_000;

export interface BreakerPolicy {
  /** Attempts within the window before it may open, half of them failed. */
  readonly failures: number;
  readonly windowMs: number;
  /** How long it stays open before one attempt is let through, ms. */
  readonly resetAfterMs: number;
}

export interface Breaker {
  readonly state: BreakerState;
  /** How long until an attempt is let through, ms; 0 where one may go now. */
  readonly remainingMs: number;
  /** One attempt. @throws breaker_open without calling it; else whatever the attempt throws */
  fire<T>(attempt: () => Promise<T>): Promise<T>;
  /** Waits for one of the places; those for whom requests wait come first. Leave exactly once. */
  enter(isUrgent: () => boolean, stopping: AbortSignal): Promise<{ leave(): void }>;
  /** Other numbers from now on: what was counted is forgotten, and an open one is closed. */
  change(policy: BreakerPolicy): void;
  stop(): void;
}

/** One for each token URL and egress. */
export function createBreaker(first: BreakerPolicy, clock: Clock, changed: (state: BreakerState) => void): Breaker {
  let policy = first;
  let circuit = createCircuit();
  let openedAtMs = 0;

  function createCircuit() {
    const created = new CircuitBreaker((attempt: () => Promise<unknown>) => attempt(), {
      // Its own timeout would abandon a redeem that is running; the attempt ends itself.
      timeout: false,
      volumeThreshold: policy.failures,
      errorThresholdPercentage: 50,
      rollingCountTimeout: policy.windowMs,
      resetTimeout: policy.resetAfterMs,
      errorFilter: (thrown) => !isOutage(thrown),
    });
    created.on('open', () => {
      openedAtMs = clock.monotonicMs();
      changed('open');
    });
    created.on('halfOpen', () => changed('half_open'));
    created.on('close', () => changed('closed'));
    return created;
  }

  /** Closed, or half open and nobody is trying yet. */
  const mayPass = (): boolean => circuit.closed || circuit.pendingClose;

  let entered = 0;
  const queue: { isUrgent: () => boolean; admit: () => void }[] = [];

  function leave(): void {
    entered -= 1;
    const urgent = queue.findIndex(({ isUrgent }) => isUrgent());
    const [next] = queue.splice(Math.max(urgent, 0), 1);
    next?.admit();
  }

  function place(): { leave(): void } {
    entered += 1;
    let isIn = true;
    return {
      leave() {
        if (isIn) leave();
        isIn = false;
      },
    };
  }

  return {
    get state() {
      return circuit.opened ? 'open' : circuit.halfOpen ? 'half_open' : 'closed';
    },
    get remainingMs() {
      if (mayPass()) return 0;
      // At least 1 ms: the circuit's own timer, not this sum, lets the next attempt through.
      return circuit.opened ? Math.max(openedAtMs + policy.resetAfterMs - clock.monotonicMs(), 1) : TRIAL_PAUSE_MS;
    },
    async fire<T>(attempt: () => Promise<T>): Promise<T> {
      // Not left to the circuit: it would count the refusal as an attempt, and a crowd of them as a good error rate.
      if (!mayPass()) throw new SidebearerError('breaker_open', { retryAfterMs: this.remainingMs });
      return (await circuit.fire(attempt)) as T;
    },
    enter(isUrgent, stopping) {
      if (entered < GATE_WIDTH || stopping.aborted) return Promise.resolve(place());
      return new Promise((resolve) => {
        const waiting = { isUrgent, admit };
        function admit(): void {
          stopping.removeEventListener('abort', giveUp);
          resolve(place());
        }
        function giveUp(): void {
          queue.splice(queue.indexOf(waiting), 1);
          admit();
        }
        stopping.addEventListener('abort', giveUp, { once: true });
        queue.push(waiting);
      });
    },
    change(next) {
      policy = next;
      // An attempt on its way ends on the old one, which nobody looks at any more.
      circuit.shutdown();
      circuit = createCircuit();
      changed('closed');
    },
    stop: () => circuit.shutdown(),
  };
}

/** Failures that speak of the endpoint's health. Who answers 4xx is up and has judged, a 408 of a slow upload included. */
export function isOutage(thrown: unknown): boolean {
  if (!(thrown instanceof SidebearerError)) return true;
  const { status = 0 } = thrown.details;
  if (status >= 400 && status <= 499) return false;
  return thrown.row.outcome !== 'rejected' && thrown.code !== 'token_endpoint_limited' && thrown.code !== 'lease_lost';
}
