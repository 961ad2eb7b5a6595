// The routes of the proxy: what a request is sent to, with whose token, by which way. It opens nothing and connects
// to nothing.
import type { Clock } from '../clock.ts';
import type { Config, RouteConfig } from '../config/schema.ts';
import type { Bearer } from '../credentials/bearer.ts';
import { createPool } from '../credentials/pool.ts';
import type { Refresher } from '../credentials/refresher.ts';
import type { RouteOptions } from '../proxy/admission.ts';
import { writtenTokenPolicy } from './credential.ts';
import type { Ways } from './ways.ts';

export function createRoutes(
  config: Config,
  credentials: ReadonlyMap<string, Refresher>,
  ways: Ways,
  clock: Clock,
): RouteOptions[] {
  return config.routes.map((route, index) => {
    const members = route.credential.map((name) => memberOf(credentials, name));
    const [first] = members;
    if (first === undefined) throw new Error(`route ${route.name} names no credential`);
    const memberWays = ways.ofRoutes[index] ?? new Map();
    const hasOneWay = new Set(memberWays.values()).size <= 1;
    return {
      name: route.name,
      ...(route.host !== undefined && { host: route.host }),
      path: route.path,
      upstream: new URL(route.upstream),
      stripPath: route.stripPath,
      bearer: members.length === 1 ? first : poolOf(members, route, config, clock),
      timeouts: {
        connectMs: route.timeouts.connect,
        headersMs: route.timeouts.headers,
        idleMs: route.timeouts.idle,
      },
      replayMaxBodyBytes: route.replay.maxBody,
      http2: route.http2,
      forwarding: { forwarded: route.forwarded, via: route.via },
      way: hasOneWay ? memberWays.get(first.name) : undefined,
      waysOfMembers: hasOneWay ? undefined : memberWays,
    };
  });
}

function memberOf(credentials: ReadonlyMap<string, Refresher>, name: string): Refresher {
  const credential = credentials.get(name);
  if (credential === undefined) throw new Error(`a route names ${name}, which is no credential`);
  return credential;
}

/** Waiting for one member after the other ends when the most patient would give up. */
function poolOf(members: readonly Refresher[], route: RouteConfig, { credentials }: Config, clock: Clock): Bearer {
  const waits = members.map(({ name }) => {
    const settings = credentials[name];
    return settings === undefined || settings.provider === 'file'
      ? writtenTokenPolicy.wait.timeoutMs
      : settings.wait.timeout;
  });
  const { pool: choice, coolOn429: restsOnLimit } = route;
  return createPool({ members, choice, restsOnLimit, waitMs: Math.max(...waits), clock });
}
