// The breakers of a process: one for each token endpoint and egress, shared by all credentials that go there. The first
// credential that names them sets its numbers.
import type { Clock } from '../clock.ts';
import { type Breaker, type BreakerPolicy, createBreaker } from '../credentials/breaker.ts';
import type { CredentialObserver } from '../credentials/observer.ts';

/** Where a breaker stands. */
export interface BreakerPlace {
  readonly endpoint: string;
  /** `direct`, or the egress proxy's host and port. */
  readonly egress: string;
  /** What the credential that comes by would have it do. */
  readonly policy: BreakerPolicy;
}

export interface Breakers {
  /** The one that stands there, or a new one. */
  at(place: BreakerPlace): Breaker;
  /** Those that stand at these places go on, by the numbers of the first that names each; the others are gone. */
  keep(places: readonly BreakerPlace[]): void;
  stop(): void;
}

interface Standing {
  readonly place: BreakerPlace;
  readonly breaker: Breaker;
  policy: BreakerPolicy;
  /** Told to the observer. */
  isSeen: boolean;
}

export function createBreakers(clock: Clock, observer: CredentialObserver): Breakers {
  const standing = new Map<string, Standing>();
  const keyOf = ({ endpoint, egress }: BreakerPlace): string => `${endpoint} ${egress}`;

  function put(place: BreakerPlace): Standing {
    const { endpoint, egress, policy } = place;
    const breaker = createBreaker(policy, clock, (state) => {
      if (created.isSeen) observer.breakerChanged(endpoint, egress, state);
    });
    const created: Standing = { place, breaker, policy, isSeen: false };
    standing.set(keyOf(place), created);
    return created;
  }

  return {
    at: (place) => (standing.get(keyOf(place)) ?? put(place)).breaker,

    keep(places) {
      const firsts = new Map(places.toReversed().map((place) => [keyOf(place), place]));
      for (const [key, each] of standing) {
        const { endpoint, egress } = each.place;
        const first = firsts.get(key);
        if (first === undefined) {
          standing.delete(key);
          if (each.isSeen) observer.breakerGone(endpoint, egress);
          each.isSeen = false;
          each.breaker.stop();
          continue;
        }
        if (JSON.stringify(first.policy) !== JSON.stringify(each.policy)) {
          each.policy = first.policy;
          each.breaker.change(first.policy);
        }
        if (!each.isSeen) observer.breakerChanged(endpoint, egress, each.breaker.state);
        each.isSeen = true;
      }
    },

    stop() {
      for (const { breaker } of standing.values()) breaker.stop();
    },
  };
}
