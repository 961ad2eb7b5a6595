// The upstreams of all routes, shared by what goes the same way alike. Those that no route names any more are closed
// once the last request that was admitted under such a route has ended: never earlier, for it may still be waiting for
// its token.
import type { Way } from '../egress/way.ts';
import type { RouteOptions, RouteUse } from './admission.ts';
import type { Upstream } from './message.ts';

/** The routes of one configuration. */
export interface RouteSet {
  readonly use: RouteUse;
  /** The upstream of a route of this set. */
  connect(route: RouteOptions): Upstream;
  /** Another set takes its place: what only this one uses ends with its last request. */
  retire(): void;
}

export interface UpstreamPool {
  open(): RouteSet;
  /** Ends all connections now. */
  destroy(): Promise<void>;
}

interface Entry {
  readonly way: Way | undefined;
  readonly key: string;
  readonly upstream: Upstream;
  /** Sets that name it. */
  sets: number;
}

export function createUpstreamPool(create: (route: RouteOptions) => Upstream): UpstreamPool {
  const entries = new Set<Entry>();

  function find(route: RouteOptions): Entry {
    const { timeouts, http2, way } = route;
    const key = JSON.stringify([route.upstream.origin, timeouts, http2]);
    // A client certificate or a tunnel is a route's own.
    for (const each of entries) if (each.way === way && each.key === key) return each;
    const entry = { way, key, upstream: create(route), sets: 0 };
    entries.add(entry);
    return entry;
  }

  return {
    open() {
      const named = new Set<Entry>();
      let inUse = 0;
      let isRetired = false;

      function endIfOver(): void {
        if (!isRetired || inUse > 0) return;
        for (const entry of named) {
          entry.sets -= 1;
          if (entry.sets > 0) continue;
          entries.delete(entry);
          // Nobody waits for it, and what fails as it closes fails nobody.
          entry.upstream.close().catch(() => undefined);
        }
        named.clear();
      }

      return {
        connect(route) {
          const entry = find(route);
          if (!named.has(entry)) entry.sets += 1;
          named.add(entry);
          return entry.upstream;
        },
        use: {
          enter() {
            inUse += 1;
          },
          leave() {
            inUse -= 1;
            if (isRetired) endIfOver();
          },
        },
        retire() {
          isRetired = true;
          endIfOver();
        },
      };
    },
    async destroy() {
      await Promise.all([...entries].map(({ upstream }) => upstream.destroy()));
    },
  };
}
