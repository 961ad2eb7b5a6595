// What every request must pass before anything is sent for it, upgrades included: a method and framing that we carry,
// a Host that may call, a route. It refuses with an error of the catalogue and has no effect of its own.
import type { Authorization, Bearer } from '../credentials/bearer.ts';
import type { Way } from '../egress/way.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { type ClientToken, createClientCheck } from './client-token.ts';
import { createForwarding, type Forwarding, type ForwardingOptions } from './forwarding.ts';
import { createInjectedNames, type RequestFacts, readRequestFacts } from './headers.ts';
import type { RequestHead, Upstream } from './message.ts';
import { createRouter } from './router.ts';
import { hostOf, readTarget } from './target.ts';

/** A route, as the configuration gives it. */
export interface RouteOptions {
  /** Configured name or index: metrics, never shown to clients. */
  readonly name: string;
  /** The client's Host, without port. */
  readonly host?: string;
  /** Begins with a slash. */
  readonly path: string;
  readonly stripPath: boolean;
  /** http or https; its path goes before the request's. Userinfo, query and fragment are not used. */
  readonly upstream: URL;
  readonly bearer: Bearer;
  /** 0: none. `headers` from the request sent to the answer's head, `idle` between two chunks of the answer. */
  readonly timeouts: { readonly connectMs: number; readonly headersMs: number; readonly idleMs: number };
  /** The largest request body that a 401 may replay; 0: none. */
  readonly replayMaxBodyBytes: number;
  readonly http2: 'auto' | 'never' | 'prior-knowledge';
  /** What the upstream is told about the way a request took; absent: nothing. */
  readonly forwarding?: ForwardingOptions | undefined;
  /** Egress and TLS to the upstream, upgrades included; absent: straight out, trusting what Node trusts. */
  readonly way?: Way | undefined;
  /** A pool whose members do not all go the same way: theirs, by credential, instead. */
  readonly waysOfMembers?: ReadonlyMap<string, Way | undefined> | undefined;
}

/** A route at work. */
export interface Route {
  readonly options: RouteOptions;
  readonly host: string | undefined;
  readonly path: string;
  readonly stripPath: boolean;
  readonly basePath: string;
  readonly bearer: Bearer;
  readonly injected: ReadonlySet<string>;
  readonly forwarding: Forwarding | undefined;
  readonly upstream: Upstream;
  /** Undefined: `upstream` for all. */
  readonly upstreamsOfMembers: ReadonlyMap<string, Upstream> | undefined;
  readonly use: RouteUse;
}

/** How many requests still go by the routes of one configuration: its upstreams are closed after the last. */
export interface RouteUse {
  enter(): void;
  leave(): void;
}

/** A member's token never leaves by another member's egress. */
export function upstreamFor(route: Route, { credential }: Authorization): Upstream {
  if (route.upstreamsOfMembers === undefined) return route.upstream;
  const upstream = route.upstreamsOfMembers.get(credential);
  if (upstream === undefined) throw new SidebearerError('internal_error', { credential });
  return upstream;
}

export function wayFor({ way, waysOfMembers }: RouteOptions, { credential }: Authorization): Way | undefined {
  return waysOfMembers === undefined ? way : waysOfMembers.get(credential);
}

export interface Admitted {
  readonly route: Route;
  /** Path and query for the upstream. */
  readonly path: string;
  readonly facts: RequestFacts;
}

export interface AdmissionOptions {
  readonly routes: readonly RouteOptions[];
  /** Names that may stand in `Host`; empty: any. */
  readonly hosts: readonly string[];
  /** What every client must show; absent: nothing. */
  readonly clients?: ClientToken | undefined;
  readonly headerCount: number;
}

/** @throws the request's error, by its code */
export type Admit = (head: RequestHead) => Admitted;

/** @param connect the carrier's way to a route's upstream */
export function createAdmission(
  options: AdmissionOptions,
  connect: (route: RouteOptions) => Upstream,
  use: RouteUse,
): Admit {
  const router = createRouter(options.routes.map((route) => compile(route, connect, options.clients, use)));
  const assertClient = options.clients === undefined ? undefined : createClientCheck(options.clients);
  const hosts = new Set(options.hosts.map((host) => hostOf(host) ?? host.toLowerCase()));
  return (head) => {
    if (head.method === 'CONNECT' || head.method === 'TRACE') throw new SidebearerError('request_method_refused');
    if (head.rawHeaders.length > options.headerCount * 2) throw new SidebearerError('request_headers_too_large');
    const facts = readRequestFacts(head);
    assertClient?.(head.rawHeaders);
    const named = facts.host === undefined ? undefined : hostOf(facts.host);
    if (facts.host !== undefined && named === undefined) {
      throw new SidebearerError('request_malformed', { reason: 'the Host' });
    }
    const target = readTarget(head.target);
    const host = target.host ?? named;
    if (hosts.size > 0) {
      if (host === undefined || !hosts.has(host)) throw new SidebearerError('request_host_forbidden');
      if (facts.secFetchSite === 'cross-site') throw new SidebearerError('request_cross_site');
    }
    if (facts.expect !== undefined && facts.expect !== '100-continue') {
      throw new SidebearerError('request_expectation_unknown');
    }
    const match = router.match(host, target.path);
    if (match === undefined) throw new SidebearerError('route_unknown');
    return { route: match.route, path: match.path, facts };
  };
}

function compile(
  options: RouteOptions,
  connect: (route: RouteOptions) => Upstream,
  clients: ClientToken | undefined,
  use: RouteUse,
): Route {
  const ways = options.waysOfMembers;
  const upstreams = ways && new Map([...ways].map(([member, way]) => [member, connect({ ...options, way })] as const));
  // What a client shows to us is none of the upstream's: its name is taken out as one of ours is.
  const injected =
    clients === undefined ? options.bearer.injectedNames : [...options.bearer.injectedNames, clients.header];
  return {
    options,
    host: options.host,
    path: options.path,
    stripPath: options.stripPath,
    basePath: options.upstream.pathname,
    bearer: options.bearer,
    injected: createInjectedNames(injected),
    forwarding: options.forwarding === undefined ? undefined : createForwarding(options.forwarding),
    upstream: upstreams?.values().next().value ?? connect(options),
    upstreamsOfMembers: upstreams,
    use,
  };
}
