// The standard carrier's listening side: Node's http server (llhttp, strict). It tracks connections, tells exchanges
// when theirs is gone, and answers bytes that are no request. It gives no meaning to any request.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../clock.ts';
import { SidebearerError, systemCode } from '../../errors/sidebearer-error.ts';
import type { ClientListener, ClientMessage } from '../message.ts';
import { renderRawProblem } from '../problem.ts';
import { type ClientHost, StandardClient } from './client.ts';

export interface StandardServerOptions {
  readonly clock: Clock;
  readonly headerBytes: number;
  readonly headerTimeoutMs: number;
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
  /** Ends all connections now. */
  destroy(): void;
}

interface Connection {
  /** In the order of their requests. */
  readonly clients: Set<StandardClient>;
  isDistrusted: boolean;
  isUpgraded: boolean;
}

/** Longer than common clients and load balancers keep an idle connection (60 s), so that it is they who close it. */
const KEEP_ALIVE_MS = 72_000;

/** So long the rest of an upload is read and thrown away after the answer, so that the answer is not lost to a reset. */
const LINGER_MS = 10_000;

export function createStandardServer(options: StandardServerOptions): StandardServer {
  const connections = new Map<Socket, Connection>();
  let isDraining = false;
  let isClosing = false;

  const host: ClientHost = {
    get isDraining() {
      return isDraining;
    },
    linger(socket, request) {
      linger(options.clock, socket, request);
    },
    forget(client) {
      connections.get(client.socket)?.clients.delete(client);
    },
    flushed(socket) {
      if (isClosing && connections.get(socket)?.clients.size === 0) socket.destroySoon();
    },
    distrust(socket) {
      const connection = connections.get(socket);
      if (connection !== undefined) connection.isDistrusted = true;
    },
  };

  const begin = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    const connection = connections.get(request.socket);
    // It came glued to something that was no request; the connection ends with the answer to that.
    if (connection === undefined || connection.isDistrusted) return;
    const client = new StandardClient(host, request, response, expectsContinue);
    connection.clients.add(client);
    client.attach(options.begin);
  };

  /** Glued to a request that is still being answered, or to what was none, there is no order to answer in. */
  const isFree = (socket: Socket): boolean => {
    const connection = connections.get(socket);
    return connection !== undefined && !connection.isDistrusted && connection.clients.size === 0;
  };

  const server = createServer({
    insecureHTTPParser: false,
    maxHeaderSize: options.headerBytes,
    // Both are checked, and told with their codes, by the exchange: Node would drop what is above a count in silence.
    requireHostHeader: false,
    // No request is too long; only its head has a time.
    requestTimeout: 0,
    headersTimeout: options.headerTimeoutMs,
    connectionsCheckingInterval: Math.max(50, Math.min(1000, Math.floor(options.headerTimeoutMs / 4))),
    keepAliveTimeout: KEEP_ALIVE_MS,
    optimizeEmptyRequests: true,
    // Other upgrades are offers that a server may ignore (RFC 9110 §7.8): they go on as plain requests.
    shouldUpgradeCallback: isWebSocket,
  });
  server.maxHeadersCount = 0;

  server.on('connection', (socket: Socket) => {
    const clients = new Set<StandardClient>();
    connections.set(socket, { clients, isDistrusted: false, isUpgraded: false });
    socket.on('close', () => {
      connections.delete(socket);
      for (const client of clients) client.left();
    });
  });
  server.on('request', (request, response) => begin(request, response, false));
  server.on('checkContinue', (request, response) => begin(request, response, true));
  server.on('checkExpectation', (request, response) => begin(request, response, true));
  server.on('connect', (_request, duplex: Duplex) => {
    const socket = duplex as Socket;
    if (!isFree(socket)) return void socket.destroy();
    const error = new SidebearerError('request_method_refused');
    options.failed(error);
    endWith(socket, error);
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
    const connection = connections.get(socket);
    // Its last answer is on its way and tells already.
    if (connection?.isDistrusted === true) return;
    const [first, second] = connection?.clients ?? [];
    // A connection that ended, or that never sent a byte of a request, leaves nobody to tell.
    if (error === undefined || !socket.writable || (first === undefined && socket.bytesRead === 0)) {
      socket.destroy();
      return;
    }
    if (first === undefined) {
      options.failed(error);
      endWith(socket, error);
    } else if (second === undefined) {
      // A body that turns out malformed: the exchange answers, or aborts what it had begun to answer.
      first.broken(error);
    } else {
      // Pipelined: the earlier ones cannot be answered in order any more.
      options.failed(error);
      socket.destroy();
    }
  });

  return {
    server,
    drain() {
      isDraining = true;
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
        for (const [socket, connection] of connections) {
          if (connection.clients.size === 0 && !connection.isUpgraded) socket.destroySoon();
        }
      }),
    destroy() {
      for (const socket of connections.keys()) socket.destroy();
    },
  };
}

function isWebSocket(request: IncomingMessage): boolean {
  return request.method === 'GET' && request.headers.upgrade?.trim().toLowerCase() === 'websocket';
}

/** undefined: the connection is gone, it is nobody's mistake. */
function clientError(thrown: Error): SidebearerError | undefined {
  const code = systemCode(thrown) ?? '';
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new SidebearerError('request_headers_too_large', {}, thrown);
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new SidebearerError('request_timeout', {}, thrown);
    case 'HPE_INVALID_EOF_STATE':
      return undefined;
  }
  return code.startsWith('HPE_') ? new SidebearerError('request_malformed', { systemCode: code }, thrown) : undefined;
}

function endWith(socket: Duplex, error: SidebearerError): void {
  socket.on('error', () => undefined);
  socket.end(renderRawProblem(error), () => socket.destroy());
}

function linger(clock: Clock, socket: Socket, request: IncomingMessage): void {
  // In the turn of its head even a request without a body is not complete yet.
  setImmediate(() => {
    request.removeAllListeners('data');
    request.resume();
    if (request.complete || socket.destroyed) return;
    const timer: Timer = clock.after(LINGER_MS, () => socket.destroy(), { background: true });
    request.once('end', () => timer.cancel());
    socket.once('close', () => timer.cancel());
  });
}
