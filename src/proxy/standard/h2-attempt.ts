// One request to an upstream over HTTP/2, on Node's own client: undici's loses what it had buffered when the trailers
// come while the answer is held back (docs/decisions/003-http2.md). It knows nothing of tokens.
import { STATUS_CODES } from 'node:http';
import { type ClientHttp2Stream, constants } from 'node:http2';
import { SidebearerError, systemCode } from '../../errors/sidebearer-error.ts';
import type { AnswerListener, Attempt, AttemptStage, UpstreamRequest } from '../message.ts';
import { upstreamError } from '../upstream-error.ts';
import type { H2Connection } from './h2-connections.ts';
import { endToEnd, firstValue, h2Headers } from './h2-headers.ts';

/** What all attempts to an upstream have in common. */
export interface H2Target {
  readonly origin: URL;
  /** 0: none. */
  readonly timeouts: { readonly headersMs: number; readonly idleMs: number };
}

const { NGHTTP2_CANCEL, NGHTTP2_FLAG_END_STREAM, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = constants;

/** RFC 9113 §6.2. */
const HEADERS_FRAME = 1;

/** RFC 9113 §7, by their numbers. */
const codes: readonly string[] = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
];

const malformed: ReadonlySet<string> = new Set([
  'PROTOCOL_ERROR',
  'FLOW_CONTROL_ERROR',
  'FRAME_SIZE_ERROR',
  'COMPRESSION_ERROR',
]);

export class H2Attempt implements Attempt {
  readonly #target: H2Target;
  readonly #connection: H2Connection;
  readonly #request: UpstreamRequest;
  readonly #listener: AnswerListener;
  #stream: ClientHttp2Stream | undefined = undefined;
  #error: Error | undefined = undefined;
  #trailers: readonly string[] = [];
  /** What the answer's body still has to be; undefined: it does not say. */
  #missingBytes: number | undefined = undefined;
  #hasHead = false;
  /** It was never sent, the connection was ending. */
  #isUnsent = false;
  #isPaused = false;
  #isOver = false;

  constructor(target: H2Target, connection: H2Connection, request: UpstreamRequest, listener: AnswerListener) {
    this.#target = target;
    this.#connection = connection;
    this.#request = request;
    this.#listener = listener;
  }

  start(): void {
    const { hasBody } = this.#request;
    const connection = this.#connection;
    let stream: ClientHttp2Stream;
    try {
      // Without `waitForTrailers` a reset would be preceded by a clean end of the body.
      stream = connection.session.request(this.#headers(), { endStream: !hasBody, waitForTrailers: hasBody });
    } catch (thrown) {
      this.#unsent(thrown);
      return;
    }
    this.#stream = stream;
    connection.open += 1;
    stream.on('close', () => {
      connection.open -= 1;
      this.#closed(stream);
    });
    stream.on('error', (error: Error) => {
      this.#error = error;
    });
    stream.on('frameError', (type: number) => {
      if (type === HEADERS_FRAME) this.#isUnsent = true;
    });
    stream.on('headers', (headers, _flags, rawHeaders) => {
      const status = Number(headers[':status']);
      if (!this.#isOver) this.#listener.interim(this, status, endToEnd(rawHeaders));
    });
    stream.on('response', (headers, flags, rawHeaders) =>
      this.#answered(Number(headers[':status']), flags, rawHeaders),
    );
    stream.on('data', (chunk: Buffer) => this.#received(chunk));
    stream.on('trailers', (_headers, _flags, rawHeaders) => {
      this.#trailers = endToEnd(rawHeaders);
    });
    stream.on('end', () => this.#ended(stream));
    this.#limit(stream, this.#target.timeouts.headersMs);
    if (hasBody) {
      stream.on('wantTrailers', () => {
        if (!stream.closed) stream.sendTrailers({});
      });
      stream.on('drain', () => this.#wantBody());
      this.#wantBody();
    }
  }

  write(chunk: Buffer): boolean {
    const stream = this.#stream;
    return stream === undefined || stream.destroyed || stream.writableEnded || stream.write(chunk);
  }

  endBody(): void {
    const stream = this.#stream;
    if (stream !== undefined && !stream.destroyed && !stream.writableEnded) stream.end();
  }

  pause(): void {
    if (this.#isOver || this.#isPaused) return;
    this.#isPaused = true;
    this.#stream?.pause();
    // The silence is ours now.
    this.#stream?.setTimeout(0);
  }

  resume(): void {
    if (this.#isOver || !this.#isPaused) return;
    this.#isPaused = false;
    if (this.#stream !== undefined) this.#limit(this.#stream, this.#target.timeouts.idleMs);
    this.#stream?.resume();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reset();
  }

  #headers(): ReturnType<typeof h2Headers> {
    const { method, path, rawHeaders, acceptsTrailers } = this.#request;
    const { protocol, host } = this.#target.origin;
    const headers = h2Headers(
      { ':method': method, ':scheme': protocol.slice(0, -1), ':authority': host, ':path': path },
      rawHeaders,
    );
    if (acceptsTrailers === true) headers.te = 'trailers';
    return headers;
  }

  #wantBody(): void {
    if (!this.#isOver) this.#listener.bodyWanted(this);
  }

  #limit(stream: ClientHttp2Stream, ms: number): void {
    stream.setTimeout(ms, () => {
      this.#fail(new SidebearerError('upstream_timeout', { address: this.#target.origin.origin }), 'sent');
      this.#reset();
    });
  }

  #answered(status: number, flags: number, rawHeaders: readonly string[]): void {
    if (this.#isOver) return;
    this.#hasHead = true;
    if (this.#stream !== undefined) {
      this.#stream.setTimeout(0);
      this.#limit(this.#stream, this.#target.timeouts.idleMs);
    }
    const headers = endToEnd(rawHeaders);
    if (this.#request.method !== 'HEAD' && status !== 204 && status !== 304) {
      const length = firstValue(headers, 'content-length');
      if (length !== undefined) this.#missingBytes = Number(length);
    }
    this.#listener.answered(this, status, STATUS_CODES[status] ?? '', headers);
    // Told in one turn, so that an answer that is a head alone stays one: gRPC reads its status from it.
    if ((flags & NGHTTP2_FLAG_END_STREAM) !== 0 && !this.#isOver) this.#finish();
  }

  #received(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#missingBytes !== undefined) this.#missingBytes -= chunk.length;
    this.#listener.received(this, chunk);
  }

  /** Node ends a stream that was reset, too. */
  #ended(stream: ClientHttp2Stream): void {
    const isClean = (stream.rstCode ?? NGHTTP2_NO_ERROR) === NGHTTP2_NO_ERROR && (this.#missingBytes ?? 0) === 0;
    if (!this.#isOver && this.#hasHead && isClean) this.#finish();
  }

  #finish(): void {
    this.#isOver = true;
    const stream = this.#stream;
    // An answer that did not wait for the whole request: nobody reads the rest of it.
    if (stream !== undefined && !stream.writableEnded) this.#reset();
    this.#listener.ended(this, this.#trailers);
  }

  #reset(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    // Within a report of the same connection Node puts the reset off and ends the body first: half an upload would
    // look whole.
    if (stream.writableEnded) cancel(stream);
    else setImmediate(cancel, stream);
  }

  // --- failures ----------------------------------------------------------------------------------------------------

  #closed(stream: ClientHttp2Stream): void {
    if (this.#isOver) return;
    const isRefused = this.#isUnsent || (stream.rstCode === NGHTTP2_REFUSED_STREAM && !this.#hasHead);
    const { session } = this.#connection;
    // A reset is an answer; a connection that ended is none.
    const stage = isRefused ? 'refused' : session.closed || session.destroyed ? 'sent' : 'answering';
    this.#fail(this.#failure(stream.rstCode ?? NGHTTP2_NO_ERROR), stage);
  }

  #failure(rstCode: number): SidebearerError {
    const address = this.#target.origin.origin;
    const cause = this.#connection.error ?? this.#error;
    const code = systemCode(cause) ?? '';
    if (code === 'ERR_HTTP2_ERROR') {
      return new SidebearerError('upstream_malformed', { address, systemCode: code }, cause);
    }
    if (code !== '' && !code.startsWith('ERR_HTTP2_')) return upstreamError(cause, 'sent', address);
    const name = codes[rstCode] ?? 'unknown';
    const row = malformed.has(name) ? 'upstream_malformed' : 'upstream_closed';
    return new SidebearerError(row, { address, systemCode: name }, cause);
  }

  #fail(error: SidebearerError, stage: AttemptStage): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listener.failed(this, error, this.#hasHead ? 'answering' : stage);
  }

  /** Node would not take it: the connection has just begun to end, or it is no HTTP. */
  #unsent(thrown: unknown): void {
    const address = this.#target.origin.origin;
    const code = systemCode(thrown) ?? '';
    const isEnding = /^ERR_HTTP2_(GOAWAY_SESSION|INVALID_SESSION|OUT_OF_STREAMS)$/.test(code);
    const row = isEnding ? 'upstream_closed' : 'request_malformed';
    const error = new SidebearerError(row, { address, ...(code !== '' && { systemCode: code }) }, thrown);
    this.#fail(error, isEnding ? 'refused' : 'connecting');
  }
}

function cancel(stream: ClientHttp2Stream): void {
  if (stream.destroyed) return;
  stream.close(NGHTTP2_CANCEL);
  // Waiting for the stream's own end would wait for a reader of what it still holds.
  stream.destroy();
}
