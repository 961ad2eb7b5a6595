// An http server whose connections end by FIN, never by RST: one reset from the pod ends the admin's whole
// `kubectl port-forward`. Linux resets where a socket is closed with unread bytes, or receives bytes after it was
// closed; so a connection that is to end says FIN first and goes on reading into nothing until the peer is done too.
import { type IncomingMessage, Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../clock.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';

export interface GentleServerOptions {
  readonly clock: Clock;
  /** How long a request's head, ms, and the whole request, ms, may take to arrive. */
  readonly headerTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How long an unused connection is kept, ms. */
  readonly idleTimeoutMs: number;
  /** How long a peer that was told FIN may go on sending, ms; only then the connection is destroyed. */
  readonly lingerMs: number;
  readonly maxHeaderBytes: number;
  readonly maxConnections: number;
  readonly serve: (request: IncomingMessage, response: ServerResponse) => void;
  /** The whole answer, as bytes, to something that is no request; also the place to report it. */
  readonly refuse: (error: SidebearerError, address: string) => string;
}

/** What is known of one connection. */
interface Connection {
  readonly socket: Socket;
  /** Requests handed out and not yet answered. */
  active: number;
  /** To be ended as soon as nothing is active. */
  endsWhenIdle: boolean;
  linger: Timer | undefined;
}

export class GentleServer extends Server {
  readonly #options: GentleServerOptions;
  readonly #connections = new Map<Duplex, Connection>();

  constructor(options: GentleServerOptions) {
    super({
      headersTimeout: options.headerTimeoutMs,
      requestTimeout: options.requestTimeoutMs,
      connectionsCheckingInterval: Math.max(50, Math.min(5_000, Math.floor(options.headerTimeoutMs / 3))),
      keepAliveTimeout: options.idleTimeoutMs,
      maxHeaderSize: options.maxHeaderBytes,
      // Without Host, Node would answer by itself, without our headers.
      requireHostHeader: false,
    });
    this.#options = options;
    this.maxConnections = options.maxConnections;
    this.on('connection', (socket: Socket) => this.#opened(socket));
    this.on('request', (request, response) => this.#requested(request, response));
    this.on('checkExpectation', (request, response) => this.#requested(request, response));
    this.on('connect', (request: IncomingMessage, socket: Duplex) => this.#tunnelled(request, socket));
    this.on('clientError', (error, socket) => this.#malformed(error, socket));
    // Having a listener is what keeps Node from destroying the socket.
    this.on('timeout', (socket: Socket) => this.#endWhenIdle(socket));
  }

  /** Node calls this when the server closes; its own would destroy the sockets. */
  override closeIdleConnections(): void {
    for (const connection of this.#connections.values()) this.#endWhenIdle(connection.socket);
  }

  /** Ends every connection now, its request answered or not. */
  endAll(): void {
    for (const connection of this.#connections.values()) this.#end(connection);
  }

  #opened(socket: Socket): void {
    const connection: Connection = { socket, active: 0, endsWhenIdle: false, linger: undefined };
    this.#connections.set(socket, connection);
    socket.once('close', () => {
      connection.linger?.cancel();
      this.#connections.delete(socket);
    });
    // Node calls destroySoon after the last answer of a connection.
    socket.destroySoon = () => this.#endWhenIdle(socket);
  }

  #requested(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return;
    connection.active += 1;
    response.once('close', () => {
      connection.active -= 1;
      if (connection.endsWhenIdle || !this.listening) this.#endWhenIdle(connection.socket);
    });
    this.#options.serve(request, response);
  }

  /** CONNECT: Node hands the bare socket over. */
  #tunnelled(request: IncomingMessage, socket: Duplex): void {
    this.#malformed(Object.assign(new Error(), { code: request.method }), socket);
  }

  #malformed(error: Error, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined || connection.linger !== undefined) return;
    if (!socket.writable || systemCode(error) === 'ECONNRESET') {
      this.#end(connection);
      return;
    }
    const isTimeout = systemCode(error) === 'ERR_HTTP_REQUEST_TIMEOUT';
    // An answer written now would be taken for that of a request still at work, but for the one that never came whole.
    if (connection.active > (isTimeout ? 1 : 0)) {
      connection.endsWhenIdle = true;
      return;
    }
    // A browser opens connections ahead of need: one that never said a word is owed no answer.
    if (connection.socket.bytesRead > 0) {
      const address = connection.socket.remoteAddress ?? 'local';
      socket.write(this.#options.refuse(new SidebearerError(codeOf(error)), address));
    }
    this.#end(connection);
  }

  #endWhenIdle(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    if (connection.active > 0) connection.endsWhenIdle = true;
    else this.#end(connection);
  }

  #end(connection: Connection): void {
    const { socket } = connection;
    if (connection.linger !== undefined || socket.destroyed) return;
    connection.linger = this.#options.clock.after(this.#options.lingerMs, () => socket.destroy(), { background: true });
    socket.on('error', () => undefined);
    socket.setTimeout(0);
    socket.end();
    // Takes the bytes away from the parser, which may be paused or have given up.
    socket.removeAllListeners('data');
    socket.on('data', () => undefined);
    socket.resume();
  }
}

function codeOf(
  error: Error,
): 'request_headers_too_large' | 'request_timeout' | 'request_malformed' | 'page_method_unknown' {
  switch (systemCode(error)) {
    case 'CONNECT':
      return 'page_method_unknown';
    case 'HPE_HEADER_OVERFLOW':
      return 'request_headers_too_large';
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'request_timeout';
    default:
      return 'request_malformed';
  }
}
