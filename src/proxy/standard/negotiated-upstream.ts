// An upstream whose protocol ALPN decides: the first connection asks, requests wait for it, and whichever protocol it
// was, that connection is used. HTTP/1.1 is another upstream's business.
import type { Socket } from 'node:net';
import { SidebearerError } from '../../errors/sidebearer-error.ts';
import type { AnswerListener, Attempt, AttemptStage, Upstream, UpstreamRequest } from '../message.ts';
import { upstreamError } from '../upstream-error.ts';
import { H2Attempt, type H2Target } from './h2-attempt.ts';
import { createH2Connections } from './h2-connections.ts';

/** The same upstream by HTTP/1.1. */
export interface Http1Upstream extends Upstream {
  /** A connection stands: what ALPN said of it holds. */
  readonly isConnected: boolean;
  /** A connection for the requests of this turn. */
  adopt(socket: Socket): void;
}

export interface NegotiatedUpstreamOptions extends H2Target {
  /** Of an answer's head. */
  readonly maxHeadBytes: number;
  /** Opens a connection that offers both protocols. */
  readonly connect: (opened: (error: Error | null, socket?: Socket | null) => void) => void;
  /** Undefined: the upstream is known to speak HTTP/2, and nothing is asked. */
  readonly http1: Http1Upstream | undefined;
}

export function createNegotiatedUpstream(options: NegotiatedUpstreamOptions): Upstream {
  const { http1 } = options;
  const address = options.origin.origin;
  const connections = createH2Connections(address, options.maxHeadBytes);
  const waiting = new Set<WaitingAttempt>();
  let isConnecting = false;
  let isDestroyed = false;

  const fail = (error: SidebearerError): void => {
    for (const attempt of waiting) attempt.fail(error);
  };

  const opened = (error: Error | null, socket?: Socket | null): void => {
    isConnecting = false;
    if (socket === null || socket === undefined || isDestroyed) {
      socket?.destroy();
      fail(upstreamError(error, 'connecting', address));
    } else if (http1 !== undefined && !isHttp2(socket)) {
      http1.adopt(socket);
      for (const attempt of waiting) attempt.begin((request, listener) => http1.createAttempt(request, listener));
    } else {
      spread(socket);
    }
  };

  const spread = (socket: Socket): void => {
    // The first is served by the new connection whatever becomes of it, so that each connection brings an outcome.
    let connection = connections.add(socket);
    for (const attempt of waiting) {
      attempt.begin((request, listener) => new H2Attempt(options, connection, request, listener));
      const next = connections.take();
      if (next === undefined) break;
      connection = next;
    }
    if (waiting.size > 0) open();
  };

  const open = (): void => {
    if (isConnecting) return;
    isConnecting = true;
    options.connect(opened);
  };

  return {
    createAttempt(request, listener) {
      if (http1?.isConnected === true) return http1.createAttempt(request, listener);
      const connection = connections.take();
      if (connection !== undefined) return new H2Attempt(options, connection, request, listener);
      return new WaitingAttempt(waiting, open, request, listener);
    },
    async close() {
      await Promise.all([connections.close(), http1?.close()]);
    },
    async destroy() {
      isDestroyed = true;
      fail(new SidebearerError('upstream_closed', { address }));
      await Promise.all([connections.destroy(), http1?.destroy()]);
    },
  };
}

function isHttp2(socket: Socket): boolean {
  return 'alpnProtocol' in socket && socket.alpnProtocol === 'h2';
}

/** An attempt that waits for a connection, and is the one that is made there from then on. */
class WaitingAttempt implements Attempt, AnswerListener {
  readonly #waiting: Set<WaitingAttempt>;
  readonly #open: () => void;
  readonly #request: UpstreamRequest;
  readonly #listener: AnswerListener;
  #inner: Attempt | undefined = undefined;
  #isPaused = false;

  constructor(waiting: Set<WaitingAttempt>, open: () => void, request: UpstreamRequest, listener: AnswerListener) {
    this.#waiting = waiting;
    this.#open = open;
    this.#request = request;
    this.#listener = listener;
  }

  begin(create: (request: UpstreamRequest, listener: AnswerListener) => Attempt): void {
    this.#waiting.delete(this);
    this.#inner = create(this.#request, this);
    if (this.#isPaused) this.#inner.pause();
    this.#inner.start();
  }

  fail(error: SidebearerError): void {
    this.#waiting.delete(this);
    this.#listener.failed(this, error, 'connecting');
  }

  start(): void {
    this.#waiting.add(this);
    this.#open();
  }

  write(chunk: Buffer): boolean {
    return this.#inner?.write(chunk) ?? true;
  }

  endBody(): void {
    this.#inner?.endBody();
  }

  pause(): void {
    this.#isPaused = true;
    this.#inner?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#inner?.resume();
  }

  abort(): void {
    this.#waiting.delete(this);
    this.#inner?.abort();
  }

  bodyWanted(): void {
    this.#listener.bodyWanted(this);
  }

  interim(_inner: Attempt, status: number, rawHeaders: readonly string[]): void {
    this.#listener.interim(this, status, rawHeaders);
  }

  answered(_inner: Attempt, status: number, reason: string, rawHeaders: readonly string[]): void {
    this.#listener.answered(this, status, reason, rawHeaders);
  }

  received(_inner: Attempt, chunk: Buffer): void {
    this.#listener.received(this, chunk);
  }

  ended(_inner: Attempt, rawTrailers: readonly string[]): void {
    this.#listener.ended(this, rawTrailers);
  }

  failed(_inner: Attempt, error: SidebearerError, stage: AttemptStage): void {
    this.#listener.failed(this, error, stage);
  }
}
