// The standard carrier's way to an upstream: undici's dispatch on a pool of its own. The origin is fixed when it is
// made. It knows nothing of tokens. What undici cannot do: request trailers are not sent, a surprising 100 costs the
// connection, `Host` goes first and `Content-Length` last, HTTP/2 merges equal names.
import { Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';
import type { AnswerListener, Attempt, AttemptStage, Upstream, UpstreamRequest } from '../message.ts';
import { upstreamError } from '../upstream-error.ts';

export interface StandardUpstreamOptions {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly timeouts: { readonly connectMs: number; readonly headersMs: number; readonly idleMs: number };
  readonly http2: 'auto' | 'never';
}

/** Larger than our own limit for clients: what an upstream sets as cookies is nothing a client can change. */
const MAX_ANSWER_HEAD_BYTES = 64 * 1024;

export function createStandardUpstream(options: StandardUpstreamOptions): Upstream {
  const pool = new Pool(options.origin, {
    allowH2: options.http2 === 'auto',
    connect: { timeout: options.timeouts.connectMs },
    headersTimeout: options.timeouts.headersMs,
    bodyTimeout: options.timeouts.idleMs,
    maxHeaderSize: MAX_ANSWER_HEAD_BYTES,
  });
  return {
    createAttempt: (request, listener) => new StandardAttempt(pool, options.origin, request, listener),
    close: () => pool.close(),
    destroy: () => pool.destroy(),
  };
}

const abandoned = new Error('The request was abandoned');

/** One request. Its own handler, so that a request costs one object. */
class StandardAttempt implements Attempt, Dispatcher.DispatchHandler {
  readonly #pool: Pool;
  readonly #origin: string;
  readonly #request: UpstreamRequest;
  readonly #listener: AnswerListener;
  readonly #body: RequestBody | null;
  #controller: Dispatcher.DispatchController | null = null;
  #stage: AttemptStage = 'connecting';
  #hasHead = false;
  #isOver = false;

  constructor(pool: Pool, origin: string, request: UpstreamRequest, listener: AnswerListener) {
    this.#pool = pool;
    this.#origin = origin;
    this.#request = request;
    this.#listener = listener;
    this.#body = request.hasBody ? new RequestBody(() => this.#wantBody()) : null;
  }

  start(): void {
    const { method, path, rawHeaders } = this.#request;
    // undici takes the list as it is; its type forgets that a list may be readonly.
    this.#pool.dispatch({ method, path, headers: rawHeaders as string[], body: this.#body }, this);
  }

  write(chunk: Buffer): boolean {
    return this.#body === null || this.#body.destroyed || this.#body.push(chunk);
  }

  endBody(): void {
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
    const rawHeaders = latin1Pairs(controller.rawHeaders);
    if (status < 200) {
      this.#stage = 'sent';
      this.#listener.interim(this, status, rawHeaders);
      return;
    }
    this.#hasHead = true;
    this.#listener.answered(this, status, statusMessage ?? '', rawHeaders);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isOver) this.#listener.received(this, chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listener.ended(this, latin1Pairs(controller.rawTrailers));
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#body?.destroy();
    // Once the head was whole, what follows is a connection that ended too early.
    const stage = this.#hasHead ? 'sent' : this.#stage;
    this.#listener.failed(this, upstreamError(error, stage, this.#origin), this.#stage);
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
