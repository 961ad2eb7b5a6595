// A tunnel through an egress proxy by CONNECT (RFC 9110 §9.3.6). The proxy is shown the destination's name and port and
// its own credentials, and nothing else of ours: what follows is the caller's, inside the tunnel.
import { type ClientRequest, request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, isIPv6, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ErrorDetails, SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { EgressProxy } from './egress-proxy.ts';
import { isCertificateFailure } from './tls-failure.ts';

export interface Destination {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

export type TunnelEnd = (error: SidebearerError | undefined, socket: Socket | undefined) => void;

/**
 * Calls back once: with the socket, or with egress_unreachable or egress_refused; not at all after `cancel`.
 */
export function openTunnel(proxy: EgressProxy, destination: Destination, done: TunnelEnd): { cancel(): void } {
  const authority = `${isIPv6(destination.host) ? `[${destination.host}]` : destination.host}:${destination.port}`;
  let isOver = false;

  function end(error: SidebearerError | undefined, socket?: Socket): void {
    if (isOver) return;
    isOver = true;
    done(error, socket);
  }

  const request = ask(proxy, authority);
  request.on('error', (thrown) => end(unreachable(proxy, thrown)));
  // Of a CONNECT every answer arrives here, whatever its status.
  request.on('connect', (answer, duplex: Duplex, glued) => {
    const socket = duplex as Socket;
    const status = answer.statusCode ?? 0;
    const isOpen = status >= 200 && status <= 299;
    if (isOver || !isOpen || glued.length > 0) {
      socket.on('error', () => undefined);
      socket.destroy();
      // A destination that speaks before it is spoken to is neither TLS nor HTTP.
      end(isOpen ? refused(proxy, { reason: 'it sent bytes of its own into the tunnel' }) : refusal(proxy, status));
      return;
    }
    end(undefined, socket);
  });
  request.end();

  return {
    cancel() {
      isOver = true;
      request.destroy();
    },
  };
}

/** Told of a tunnel that was cancelled because it took too long. */
export function tunnelTimeout(proxy: EgressProxy): SidebearerError {
  return new SidebearerError('egress_unreachable', {
    address: proxy.name,
    reason: 'the tunnel was not there within the time to connect',
  });
}

function ask(proxy: EgressProxy, authority: string): ClientRequest {
  const options: RequestOptions = {
    method: 'CONNECT',
    host: proxy.host,
    port: proxy.port,
    path: authority,
    headers: {
      host: authority,
      ...(proxy.authorization !== undefined && { 'proxy-authorization': proxy.authorization }),
    },
    // A connection for this tunnel alone, which no setting of the process sends elsewhere.
    agent: false,
  };
  if (!proxy.isTls) return httpRequest(options);
  // Otherwise Node would ask for the name in `Host`, which is the destination's.
  return httpsRequest({ ...options, servername: isIP(proxy.host) === 0 ? proxy.host : '', rejectUnauthorized: true });
}

function refusal(proxy: EgressProxy, status: number): SidebearerError {
  return refused(proxy, refusalWords(status));
}

/** The status stands in the words alone: as a detail it would be taken for the destination's. */
function refusalWords(status: number): ErrorDetails {
  const answered = `it answers ${status}`;
  if (status === 407) {
    return {
      reason: `${answered}, for it wants other credentials`,
      next: 'Put the user and password that the egress proxy wants into egress.proxy (http://user:password@host:port).',
    };
  }
  if (status === 403) return { reason: `${answered}, for it does not allow this destination` };
  return { reason: status >= 500 ? `${answered}, for it cannot reach the destination` : answered };
}

function refused(proxy: EgressProxy, details: ErrorDetails): SidebearerError {
  return new SidebearerError('egress_refused', { address: proxy.name, ...details });
}

/** Without the cause where that holds bytes of the answer, as a parser's does. */
function unreachable(proxy: EgressProxy, thrown: unknown): SidebearerError {
  const code = systemCode(thrown);
  const isForeign = code === undefined || code.startsWith('HPE_');
  const reason = isForeign
    ? 'it does not answer in HTTP'
    : isCertificateFailure(code)
      ? 'its certificate is not accepted'
      : undefined;
  return new SidebearerError(
    'egress_unreachable',
    {
      address: proxy.name,
      ...(code !== undefined && { systemCode: code }),
      ...(reason !== undefined && { reason }),
    },
    isForeign ? undefined : thrown,
  );
}
