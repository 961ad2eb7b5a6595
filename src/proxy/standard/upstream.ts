// The standard carrier's way to an upstream: undici's dispatch on a pool of its own. The origin is fixed when it is
// made. It knows nothing of tokens. What undici cannot do: request trailers are not sent, a surprising 100 costs the
// connection, `Host` goes first and `Content-Length` last. HTTP/2 is not undici's here: negotiated-upstream.ts.
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buildConnector, Client, type Dispatcher, Pool } from 'undici';
import { type Connector, createConnector } from '../../egress/connector.ts';
import type { Way } from '../../egress/way.ts';
import { SidebearerError } from '../../errors/sidebearer-error.ts';
import type { AnswerListener, Attempt, AttemptStage, Upstream, UpstreamRequest } from '../message.ts';
import { upstreamError } from '../upstream-error.ts';
import { createNegotiatedUpstream, type Http1Upstream } from './negotiated-upstream.ts';

export interface StandardUpstreamOptions {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly timeouts: { readonly connectMs: number; readonly headersMs: number; readonly idleMs: number };
  /** `auto`: by ALPN, thus over TLS alone; `prior-knowledge`: HTTP/2 without asking. */
  readonly http2: 'auto' | 'never' | 'prior-knowledge';
  /** Egress and TLS; absent: straight out, trusting what Node trusts. */
  readonly way?: Way | undefined;
}

/** Larger than our own limit for clients: what an upstream sets as cookies is nothing a client can change. */
const MAX_ANSWER_HEAD_BYTES = 64 * 1024;

export function createStandardUpstream(options: StandardUpstreamOptions): Upstream {
  const { http2, timeouts } = options;
  const origin = new URL(options.origin);
  if (http2 === 'never' || (http2 === 'auto' && origin.protocol === 'http:')) {
    return createHttp1Upstream(options, connectorFor(options, false));
  }
  const connector = connectorFor(options, http2 === 'auto');
  const { host, protocol, port } = origin;
  const hostname = origin.hostname.replace(/^\[|\]$/g, '');
  return createNegotiatedUpstream({
    origin,
    timeouts,
    maxHeadBytes: MAX_ANSWER_HEAD_BYTES,
    connect: (opened) => connector({ host, hostname, protocol, port }, opened),
    http1: http2 === 'auto' ? createHttp1Upstream(options, connectorFor(options, false)) : undefined,
  });
}

function connectorFor({ way, timeouts }: StandardUpstreamOptions, allowH2: boolean): Connector {
  const timeoutMs = timeouts.connectMs;
  if (way !== undefined) return createConnector({ way, timeoutMs, allowH2 });
  // As in connector.ts: what switches verification off for the whole process is not for tokens.
  return buildConnector({ timeout: timeoutMs, allowH2, preferH2: true, rejectUnauthorized: true });
}

function createHttp1Upstream({ origin, timeouts }: StandardUpstreamOptions, connector: Connector): Http1Upstream {
  const adopted = new Set<Socket>();
  let isConnected = false;
  const path: Path = { origin, isBreaking: false };
  const watched: Connector = (target, callback) =>
    connector(target, (...[error, socket]: Parameters<buildConnector.Callback>) => {
      if (error !== null) return callback(error, null);
      watchForReset(path, socket);
      callback(null, socket);
    });
  const options = {
    allowH2: false,
    headersTimeout: timeouts.headersMs,
    bodyTimeout: timeouts.idleMs,
    maxHeaderSize: MAX_ANSWER_HEAD_BYTES,
  };
  const pool = new Pool(origin, {
    ...options,
    connect(target: buildConnector.Options, callback: buildConnector.Callback) {
      const [socket] = adopted;
      if (socket === undefined) return void watched(target, callback);
      adopted.delete(socket);
      watchForReset(path, socket);
      queueMicrotask(() => callback(null, socket));
    },
  });
  const look = (): void => {
    isConnected = pool.stats.connected > 0;
  };
  pool.on('disconnect', look);
  pool.on('connectionError', look);
  return {
    createAttempt(request, listener) {
      if (request.needsNewConnection !== true) return new StandardAttempt(pool, path, request, listener);
      return new LoneAttempt(new Client(origin, { ...options, connect: watched }), path, request, listener);
    },
    close: () => pool.close(),
    destroy: () => pool.destroy(),
    get isConnected() {
      return isConnected;
    },
    adopt(socket) {
      isConnected = true;
      adopted.add(socket);
      setImmediate(() => {
        if (!adopted.delete(socket)) return;
        socket.destroy();
        look();
      });
    },
  };
}

/** What the attempts of an upstream have in common. */
interface Path {
  readonly origin: string;
  /** True while a socket tells its error. */
  isBreaking: boolean;
}

/**
 * undici takes a reset for the clean end of an answer that only the connection's end delimits. Our own listener comes
 * before undici's, which ends the answer within the same event.
 */
function watchForReset(path: Path, socket: Socket): void {
  socket.on('error', () => {
    path.isBreaking = true;
    queueMicrotask(() => {
      path.isBreaking = false;
    });
  });
}

const abandoned = new Error('The request was abandoned');

/** One request. Its own handler, so that a request costs one object. */
class StandardAttempt implements Attempt, Dispatcher.DispatchHandler {
  readonly #dispatcher: Dispatcher;
  readonly #path: Path;
  readonly #request: UpstreamRequest;
  readonly #listener: AnswerListener;
  readonly #body: RequestBody | null;
  #controller: Dispatcher.DispatchController | null = null;
  #stage: AttemptStage = 'connecting';
  #hasHead = false;
  /** undici sends the head with the first byte of the body, or with its end. */
  #isHeadReady: boolean;
  #isOver = false;

  constructor(dispatcher: Dispatcher, path: Path, request: UpstreamRequest, listener: AnswerListener) {
    this.#dispatcher = dispatcher;
    this.#path = path;
    this.#request = request;
    this.#listener = listener;
    this.#body = request.hasBody ? new RequestBody(() => this.#wantBody()) : null;
    this.#isHeadReady = !request.hasBody;
  }

  start(): void {
    const { method, path, rawHeaders } = this.#request;
    // undici takes the list as it is; its type forgets that a list may be readonly.
    this.#dispatcher.dispatch({ method, path, headers: rawHeaders as string[], body: this.#body }, this);
  }

  write(chunk: Buffer): boolean {
    this.#isHeadReady = true;
    return this.#body === null || this.#body.destroyed || this.#body.push(chunk);
  }

  endBody(): void {
    this.#isHeadReady = true;
    if (this.#body !== null && !this.#body.destroyed) this.#body.push(null);
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#controller?.resume();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#body?.destroy();
    // Without a controller it still waits for a connection: it is ended as soon as there is one, with nothing sent.
    this.#controller?.abort(abandoned);
  }

  #wantBody(): void {
    if (!this.#isOver) this.#listener.bodyWanted(this);
  }

  // --- undici's handler --------------------------------------------------------------------------------------------

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isOver) controller.abort(abandoned);
    else this.#stage = 'sent';
  }

  onResponseStarted(): void {
    this.#stage = 'answering';
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusMessage?: string,
  ): void {
    if (this.#isOver) return;
    // An upgrade that nobody asked for, or no status at all.
    if (status < 102) {
      this.abort();
      const error = new SidebearerError('upstream_malformed', { address: this.#path.origin, reason: 'the status' });
      this.#listener.failed(this, error, 'answering');
      return;
    }
    const rawHeaders = latin1Pairs(controller.rawHeaders);
    if (status < 200) {
      this.#stage = 'sent';
      this.#listener.interim(this, status, rawHeaders);
      return;
    }
    this.#hasHead = true;
    this.#listener.answered(this, status, latin1Reason(statusMessage ?? ''), rawHeaders);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isOver) this.#listener.received(this, chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#path.isBreaking) {
      this.#listener.failed(this, new SidebearerError('upstream_closed', { address: this.#path.origin }), 'answering');
      return;
    }
    this.#listener.ended(this, latin1Pairs(controller.rawTrailers));
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#body?.destroy();
    // Once the head was whole, what follows is a connection that ended too early.
    const failure = upstreamError(error, this.#hasHead ? 'sent' : this.#stage, this.#path.origin);
    const isUnsent = this.#stage === 'sent' && !this.#isHeadReady && failure.code === 'upstream_closed';
    this.#listener.failed(this, failure, isUnsent ? 'refused' : this.#stage);
  }
}

/** One request on a connection of its own. */
class LoneAttempt extends StandardAttempt {
  readonly #client: Client;

  constructor(client: Client, path: Path, request: UpstreamRequest, listener: AnswerListener) {
    super(client, path, request, listener);
    this.#client = client;
  }

  override start(): void {
    super.start();
    void this.#client.close();
  }
}

/** The request's body, pushed by the exchange and pulled by undici. */
class RequestBody extends Readable {
  readonly #wanted: () => void;

  constructor(wanted: () => void) {
    super();
    this.#wanted = wanted;
    // undici destroys it with the request's error and has taken its own listener off by then.
    this.on('error', () => undefined);
  }

  override _read(): void {
    this.#wanted();
  }
}

/** undici reads the reason as UTF-8. Where it was none, its bytes are lost, and no reason stands in its place. */
function latin1Reason(reason: string): string {
  if (/^[\t\x20-\x7e]*$/.test(reason)) return reason;
  return reason.includes('\ufffd') ? '' : Buffer.from(reason, 'utf8').toString('latin1');
}

/** undici hands HTTP/1.1 headers on as buffers, HTTP/2 headers as an object with pseudo-headers. */
function latin1Pairs(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  const pairs: string[] = [];
  if (Array.isArray(raw)) {
    for (const part of raw) pairs.push(typeof part === 'string' ? part : part.toString('latin1'));
  } else if (raw !== null && raw !== undefined) {
    for (const [name, value] of Object.entries(raw)) {
      if (name.startsWith(':') || value === undefined) continue;
      for (const one of Array.isArray(value) ? value : [value]) pairs.push(name, one);
    }
  }
  return pairs;
}
