// The standard carrier's listening side: Node's http server (llhttp, strict). It tracks connections, tells exchanges
// when theirs is gone, and answers bytes that are no request. It gives no meaning to any request.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../clock.ts';
import { SidebearerError, systemCode } from '../../errors/sidebearer-error.ts';
import { endLast } from '../last-answer.ts';
import type { ListenerTls } from '../listener-tls.ts';
import type { ClientListener, ClientMessage } from '../message.ts';
import { renderRawProblem } from '../problem.ts';
import { type ClientHost, StandardClient } from './client.ts';
import type { H2Session } from './h2-session.ts';
import { linger } from './lingering.ts';
import { Pipeline, type PipelineHost } from './pipeline.ts';
import { watchForPreface } from './preface.ts';
import { createTlsEntrance } from './tls-entrance.ts';

/** What a reload of the configuration may change. */
export interface CarrierLimits {
  /** Pipelined requests that wait for the one before them, on all connections. */
  readonly maxWaiting: number;
  readonly headerTimeoutMs: number;
  /** How long an idle connection is kept. */
  readonly keepAliveMs: number;
}

export interface StandardServerOptions {
  readonly clock: Clock;
  /** Absent: plain. */
  readonly tls?: ListenerTls | undefined;
  readonly headerBytes: number;
  readonly limits: CarrierLimits;
  readonly begin: (client: ClientMessage) => ClientListener;
  /** A WebSocket handshake. The socket is the callee's from here on. */
  readonly upgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
  /** Bytes that are no request, and CONNECT. */
  readonly failed: (error: SidebearerError) => void;
}

export interface StandardServer {
  readonly server: Server;
  /** From here on every answer is the last on its connection. */
  drain(): void;
  /** Stops accepting and ends idle connections; resolves when the last connection is gone. */
  close(): Promise<void>;
  /** For connections that come from now on. */
  reconfigure(tls: ListenerTls | undefined, limits: CarrierLimits): void;
  /** Ends all connections now. */
  destroy(): void;
}

interface Connection {
  readonly pipeline: Pipeline;
  isUpgraded: boolean;
  /** Present where the client speaks HTTP/2. */
  h2: H2Session | undefined;
}

export function createStandardServer(options: StandardServerOptions): StandardServer {
  const connections = new Map<Socket, Connection>();
  let limits = options.limits;
  let isDraining = false;
  let isClosing = false;

  const host: ClientHost = {
    get isDraining() {
      return isDraining;
    },
    linger(socket, request) {
      linger(options.clock, socket, request);
    },
    endGently(socket) {
      // It is what Node's http calls after the last answer of a connection.
      socket.destroySoon = () => endLast(socket, options.clock);
    },
    forget(client) {
      connections.get(client.socket)?.pipeline.ended(client);
    },
    flushed(socket) {
      if (isClosing && connections.get(socket)?.pipeline.isFree === true) socket.destroySoon();
    },
    distrust(socket) {
      connections.get(socket)?.pipeline.close();
    },
  };

  const crowd = { waiting: 0, max: limits.maxWaiting };
  const pipelines: PipelineHost = {
    crowd,
    create: (request, response, expectsContinue) => new StandardClient(host, request, response, expectsContinue),
    start: (client) => client.attach(options.begin),
    refuse(socket, error) {
      options.failed(error);
      endLast(socket, options.clock, renderRawProblem(error));
    },
  };

  const begin = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    const pipeline = connections.get(request.socket)?.pipeline;
    if (request.httpVersionMajor === 1 && request.httpVersionMinor <= 1) {
      pipeline?.take(request, response, expectsContinue);
    } else {
      // llhttp knows 0.9 and 2.0, too: neither looks like this.
      pipeline?.broken(new SidebearerError('request_malformed', { reason: 'the HTTP version' }));
    }
  };

  /** Glued to a request that is still being answered, or to what was none, there is no order to answer in. */
  const isFree = (socket: Socket): boolean => connections.get(socket)?.pipeline.isFree === true;

  const server = createServer({
    insecureHTTPParser: false,
    maxHeaderSize: options.headerBytes,
    // Both are checked, and told with their codes, by the exchange: Node would drop what is above a count in silence.
    requireHostHeader: false,
    // No request is too long; only its head has a time.
    requestTimeout: 0,
    headersTimeout: limits.headerTimeoutMs,
    connectionsCheckingInterval: Math.max(50, Math.min(1000, Math.floor(limits.headerTimeoutMs / 4))),
    keepAliveTimeout: limits.keepAliveMs,
    optimizeEmptyRequests: true,
    // Other upgrades are offers that a server may ignore (RFC 9110 §7.8): they go on as plain requests.
    shouldUpgradeCallback: isWebSocket,
  });
  server.maxHeadersCount = 0;

  // Node's own listener gets a connection once it is known to speak HTTP/1.1.
  const [nodesListener] = server.listeners('connection');
  server.removeAllListeners('connection');
  const serveHttp1 = (socket: Socket): void => {
    nodesListener?.call(server, socket);
  };
  const serveHttp2 = async (socket: Socket, connection: Connection): Promise<void> => {
    const { serveH2 } = await import('./h2-session.ts');
    if (socket.destroyed) return;
    const { clock, headerBytes, begin, failed } = options;
    const { keepAliveMs } = limits;
    connection.h2 = serveH2(socket, { clock, headerBytes, keepAliveMs, begin, failed });
    if (isClosing) connection.h2.close();
    else if (isDraining) connection.h2.drain();
  };

  const accept = (socket: Socket): void => {
    const pipeline = new Pipeline(pipelines, socket);
    const connection: Connection = { pipeline, isUpgraded: false, h2: undefined };
    connections.set(socket, connection);
    // Node writes a head that leaves before its body in the socket's own encoding.
    socket.setDefaultEncoding('latin1');
    socket.on('close', () => {
      connections.delete(socket);
      pipeline.left();
    });
    watchForPreface(socket, {
      clock: options.clock,
      timeoutMs: limits.headerTimeoutMs,
      http1: serveHttp1,
      late: () => pipeline.broken(new SidebearerError('request_timeout')),
      http2: () => void serveHttp2(socket, connection),
    });
  };
  const entrance =
    options.tls &&
    createTlsEntrance({
      tls: options.tls,
      handshakeTimeoutMs: limits.headerTimeoutMs,
      entered: accept,
      failed: options.failed,
    });
  server.on('connection', entrance?.take ?? accept);
  server.on('request', (request, response) => begin(request, response, false));
  server.on('checkContinue', (request, response) => begin(request, response, true));
  server.on('checkExpectation', (request, response) => begin(request, response, true));
  server.on('connect', (_request, duplex: Duplex) => {
    const socket = duplex as Socket;
    if (!isFree(socket)) return void socket.destroy();
    const error = new SidebearerError('request_method_refused');
    options.failed(error);
    endLast(socket, options.clock, renderRawProblem(error));
  });
  server.on('upgrade', (request, duplex: Duplex, head: Buffer) => {
    const socket = duplex as Socket;
    const connection = connections.get(socket);
    if (connection === undefined || !isFree(socket)) return void socket.destroy();
    connection.isUpgraded = true;
    options.upgrade(request, socket, head);
  });

  server.on('clientError', (thrown: Error, duplex: Duplex) => {
    const socket = duplex as Socket;
    const error = clientError(thrown);
    const pipeline = connections.get(socket)?.pipeline;
    // Its last answer is on its way and tells already.
    if (pipeline?.isClosed === true) return;
    // A connection that ended, or that never sent a byte of a request, leaves nobody to tell.
    if (error === undefined || !socket.writable || (socket.bytesRead === 0 && pipeline?.isFree === true)) {
      socket.destroy();
    } else {
      pipeline?.broken(error);
    }
  });

  return {
    server,
    drain() {
      isDraining = true;
      for (const { h2 } of connections.values()) h2?.drain();
    },
    close: () =>
      new Promise((resolve) => {
        isClosing = true;
        // http's own close destroys connections whose answer has ended but not left yet, and spares those that never
        // sent a byte; it is called last, for its timer.
        NetServer.prototype.close.call(server, () => {
          server.close();
          resolve();
        });
        entrance?.close();
        for (const [socket, connection] of connections) {
          if (connection.h2 !== undefined) connection.h2.close();
          else if (connection.pipeline.isFree && !connection.isUpgraded) socket.destroySoon();
        }
      }),
    reconfigure(tls, next) {
      limits = next;
      crowd.max = next.maxWaiting;
      server.headersTimeout = next.headerTimeoutMs;
      server.keepAliveTimeout = next.keepAliveMs;
      if (tls !== undefined) entrance?.reconfigure(tls, next.headerTimeoutMs);
    },
    destroy() {
      entrance?.close();
      for (const socket of connections.keys()) socket.destroy();
    },
  };
}

function isWebSocket(request: IncomingMessage): boolean {
  return (
    request.method === 'GET' &&
    request.httpVersion === '1.1' &&
    request.headers.upgrade?.trim().toLowerCase() === 'websocket'
  );
}

/** undefined: the connection is gone, it is nobody's mistake. */
function clientError(thrown: Error): SidebearerError | undefined {
  const code = systemCode(thrown) ?? '';
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new SidebearerError('request_headers_too_large', {}, thrown);
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new SidebearerError('request_timeout', {}, thrown);
    case 'HPE_INVALID_METHOD':
      if (isUnknownMethod(thrown)) return new SidebearerError('request_method_unknown', {}, thrown);
      break;
    case 'HPE_INVALID_EOF_STATE':
      return undefined;
  }
  return code.startsWith('HPE_') ? new SidebearerError('request_malformed', { systemCode: code }, thrown) : undefined;
}

/**
 * Node's parser knows the registered methods alone and takes any other for bytes that are no HTTP. Both are refused;
 * where the whole request line came at once it can be told which it was.
 */
function isUnknownMethod(thrown: Error): boolean {
  if (!('rawPacket' in thrown && Buffer.isBuffer(thrown.rawPacket))) return false;
  const at = 'bytesParsed' in thrown && typeof thrown.bytesParsed === 'number' ? thrown.bytesParsed : 0;
  const packet = thrown.rawPacket.toString('latin1');
  const line = packet.slice(packet.lastIndexOf('\n', Math.max(0, at - 1)) + 1);
  return /^[\w!#$%&'*+.^`|~-]+ [^\s]+ HTTP\/1\.[01]\r\n/.test(line);
}
