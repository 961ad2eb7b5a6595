// Walks a way: makes one connection to a destination, for undici's pools and agents and for Node's agents. A tunnel
// always, for http and https alike: undici's own ProxyAgent would send an http upstream's request in clear to the proxy,
// turn header lists into objects, and tell refusals by text.
import { Agent, buildConnector, type Dispatcher } from 'undici';
import type { Timer } from '../clock.ts';
import type { EgressProxy } from './egress-proxy.ts';
import { openTunnel, tunnelTimeout } from './tunnel.ts';
import { portOf, type Way } from './way.ts';

export type Connector = buildConnector.connector;

export interface ConnectorOptions {
  readonly way: Way;
  /** To connect, TLS included; through a proxy for the tunnel, and once more for TLS within it. 0: none. */
  readonly timeoutMs: number;
  readonly allowH2: boolean;
}

/**
 * undici's `connect`. It fails with egress_unreachable or egress_refused, or with Node's error of the destination; no
 * byte of a request was sent then.
 */
export function createConnector({ way, timeoutMs, allowH2 }: ConnectorOptions): Connector {
  const { tls } = way;
  const straight = buildConnector({
    timeout: timeoutMs,
    allowH2,
    // Servers that leave the choice to us are to take the better one.
    preferH2: true,
    // A variable of the environment that switches verification off is not for tokens.
    rejectUnauthorized: true,
    ...(tls !== undefined && { secureContext: tls.secureContext }),
  });
  const connect: Connector = (options, callback) =>
    straight(tls?.serverName === undefined ? options : { ...options, servername: tls.serverName }, callback);

  return (options, callback) => {
    const proxy = way.proxyFor(options.hostname, portOf(options));
    if (proxy === undefined) connect(options, callback);
    else connectThrough(proxy, way, timeoutMs, connect, options, callback);
  };
}

function connectThrough(
  proxy: EgressProxy,
  way: Way,
  timeoutMs: number,
  connect: Connector,
  options: buildConnector.Options,
  callback: buildConnector.Callback,
): void {
  let deadline: Timer | undefined;
  const tunnel = openTunnel(proxy, { host: options.hostname, port: portOf(options) }, (error, socket) => {
    deadline?.cancel();
    if (socket === undefined) {
      callback(error ?? tunnelTimeout(proxy), null);
    } else if (options.protocol === 'https:') {
      connect({ ...options, httpSocket: socket }, callback);
    } else {
      callback(null, socket);
    }
  });
  if (timeoutMs > 0) {
    deadline = way.clock.after(
      timeoutMs,
      () => {
        tunnel.cancel();
        callback(tunnelTimeout(proxy), null);
      },
      { background: true },
    );
  }
}

/** What undici waits by default. */
const CONNECT_TIMEOUT_MS = 10_000;

/** For calls to a provider: any origin, HTTP/1.1 alone. */
export function createEndpointDispatcher(way: Way): Dispatcher {
  return new Agent({
    allowH2: false,
    connect: createConnector({ way, timeoutMs: CONNECT_TIMEOUT_MS, allowH2: false }),
  });
}
