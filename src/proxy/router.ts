// Picks the route of a request by host, then by the longest path prefix on segment boundaries, and says which path the
// upstream gets. Compiled once. It never changes a byte of the path, and never lets a path with dot segments reach
// more than the route it was matched to.
//
// The rule for dot segments: `.` and `..`, also written %2e, behind `\`, %2f or %5c, or with `;parameters`, are
// carried as they came only if, read by any upstream, they stay below the route's own prefix and the path they come
// down to belongs to the same route. Everything else is refused: `/api/../admin` would otherwise be sent with the
// token of `/api` and served as `/admin`, and below a stripped prefix it would climb out of the upstream's base path.
import { SidebearerError } from '../errors/sidebearer-error.ts';

/** What the router needs of a route. */
export interface RouteRule {
  /** The client's Host, without port; undefined: any. */
  readonly host: string | undefined;
  /** Begins with a slash. `/api` and `/api/` are the same. */
  readonly path: string;
  /** Removes `path` before the upstream's own path is put in front. */
  readonly stripPath: boolean;
  /** The upstream's own path. */
  readonly basePath: string;
}

export interface RouteMatch<R> {
  readonly route: R;
  /** Path and query for the upstream. */
  readonly path: string;
}

export interface Router<R> {
  /**
   * Among the routes that match, one with a host comes before one without, then the longest path.
   * @param host lower-cased, without port
   * @param target path and query, beginning with a slash
   * @throws request_malformed where dot segments lead out of the route
   */
  match(host: string | undefined, target: string): RouteMatch<R> | undefined;
}

interface Entry<R> {
  readonly route: R;
  /** Without a final slash; `` for the root. */
  readonly prefix: string;
  readonly isStripped: boolean;
  readonly base: string;
}

export function createRouter<R extends RouteRule>(rules: readonly R[]): Router<R> {
  const byHost = new Map<string | undefined, Entry<R>[]>();
  for (const route of rules) {
    const host = route.host?.toLowerCase();
    const entries = byHost.get(host) ?? [];
    byHost.set(host, entries);
    const base = withoutFinalSlash(route.basePath);
    entries.push({ route, prefix: withoutFinalSlash(route.path), isStripped: route.stripPath, base });
  }
  // The sort is stable: of two equal routes the first one serves.
  for (const entries of byHost.values()) entries.sort((a, b) => b.prefix.length - a.prefix.length);
  const anyHost = byHost.get(undefined) ?? [];

  const find = (host: string | undefined, target: string): Entry<R> | undefined =>
    (host === undefined ? undefined : firstMatch(byHost.get(host), target)) ?? firstMatch(anyHost, target);

  return {
    match(host, target) {
      const entry = find(host, target);
      if (entry === undefined) return undefined;
      if (target.includes('.') || target.includes('%')) {
        const path = pathOf(target);
        if (dotSegment.test(path)) {
          const below = resolve(path.slice(entry.prefix.length));
          if (below === undefined || find(host, `${entry.prefix}${below}`) !== entry) {
            throw new SidebearerError('request_malformed', { reason: 'dot segments that lead out of the route' });
          }
        }
      }
      const path = entry.base + (entry.isStripped ? target.slice(entry.prefix.length) : target);
      return { route: entry.route, path: path.startsWith('/') ? path : `/${path}` };
    },
  };
}

function firstMatch<R>(entries: readonly Entry<R>[] | undefined, target: string): Entry<R> | undefined {
  if (entries === undefined) return undefined;
  for (const entry of entries) {
    const { prefix } = entry;
    if (!target.startsWith(prefix)) continue;
    // The root's empty prefix is followed by the slash that every target begins with.
    const next = target.charCodeAt(prefix.length);
    if (Number.isNaN(next) || next === 0x2f || next === 0x3f) return entry;
  }
  return undefined;
}

const separator = /[/\\]|%2f|%5c/i;
const dotSegment = /(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[;/\\]|%2f|%5c|$)/i;

/**
 * Where a path comes down to, empty segments passed over; undefined where it climbs above its beginning. An empty
 * segment counts as no depth: whether `a//..` removes `a` or nothing depends on the upstream, so the worse is taken.
 */
function resolve(path: string): string | undefined {
  const stack: string[] = [];
  for (const segment of path.split(separator)) {
    const name = segment.split(';', 1)[0]?.replace(/%2e/gi, '.');
    if (name === '..') {
      if (stack.pop() === undefined) return undefined;
    } else if (segment !== '' && name !== '.') {
      stack.push(segment);
    }
  }
  return `/${stack.join('/')}`;
}

function pathOf(target: string): string {
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}

function withoutFinalSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path;
}
