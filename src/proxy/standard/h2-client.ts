// The client's side of one exchange on a stream of HTTP/2. It frames, flushes and ends; what messages mean is the
// exchange's business. A reset never looks like an end, in either direction.
import { constants, type ServerHttp2Stream } from 'node:http2';
import { arrivalOf } from '../arrival.ts';
import type { Arrival, ClientListener, ClientMessage } from '../message.ts';
import { firstValue, h1RequestHead, h2Headers, isWritable } from './h2-headers.ts';

const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

/** Node knows one option more than its types do: what the upstream said is said, and no `date` is added. */
const HEAD_OPTIONS = { waitForTrailers: true, sendDate: false };
const WHOLE_OPTIONS = { endStream: true, sendDate: false };

export class H2Client implements ClientMessage {
  readonly method: string;
  readonly target: string;
  readonly isHttp10 = false;
  readonly rawHeaders: readonly string[];
  readonly #stream: ServerHttp2Stream;
  #listener: ClientListener | undefined = undefined;
  #expectsContinue: boolean;
  #isReading = false;
  #isListening = false;
  #isOver = false;
  /** Waits for the end of the turn: an answer without a body ends with its head. */
  #head: { readonly status: number; readonly rawHeaders: readonly string[] } | undefined = undefined;
  #trailers: readonly string[] = [];

  /** @param hasBody the head did not end the request */
  constructor(stream: ServerHttp2Stream, rawHeaders: readonly string[], hasBody: boolean) {
    const head = h1RequestHead(rawHeaders, hasBody);
    this.method = head.method;
    this.target = head.target;
    this.rawHeaders = head.rawHeaders;
    this.#stream = stream;
    this.#expectsContinue = hasBody && firstValue(head.rawHeaders, 'expect') !== undefined;
    // Node ends an empty body whether it is read or not, and a stream that was reset, too; `aborted` came before that.
    stream.on('end', () => {
      if (!this.#isOver && hasBody) this.#listener?.bodyEnded();
    });
    stream.on('aborted', () => this.#left());
    stream.on('close', () => this.#left());
    stream.on('wantTrailers', () => this.#sendTrailers());
  }

  /** @param begin may already answer */
  attach(begin: (client: ClientMessage) => ClientListener): void {
    this.#listener = begin(this);
  }

  arrival(): Arrival {
    return arrivalOf(this.#stream.session?.socket, '2.0');
  }

  resumeBody(): void {
    if (this.#isOver) return;
    if (this.#expectsContinue) {
      this.#expectsContinue = false;
      if (!this.#hasBegun) this.#stream.additionalHeaders({ ':status': 100 });
    }
    if (!this.#isReading) {
      this.#isReading = true;
      this.#stream.on('data', (chunk: Buffer) => {
        if (!this.#isOver) this.#listener?.bodyReceived(chunk);
      });
    }
    this.#stream.resume();
  }

  pauseBody(): void {
    if (this.#isReading) this.#stream.pause();
  }

  /** Frames tell where a request ends, whatever it says. */
  distrust(): void {}

  sendInterim(status: number, rawHeaders: readonly string[]): void {
    // 101 does not exist here, and 100 is ours to give.
    if (this.#isOver || status < 102 || this.#hasBegun || !isWritable(rawHeaders)) return;
    this.#stream.additionalHeaders(h2Headers({ ':status': String(status) }, rawHeaders));
  }

  sendHead(status: number, _reason: string, rawHeaders: readonly string[]): boolean {
    if (this.#isOver) return true;
    if (!isWritable(rawHeaders)) return false;
    this.#head = { status, rawHeaders };
    process.nextTick(flush, this);
    return true;
  }

  /** @internal */
  flushHead(isWhole = false): void {
    const head = this.#head;
    if (head === undefined) return;
    this.#head = undefined;
    if (this.#stream.destroyed || this.#stream.closed) return;
    try {
      const headers = h2Headers({ ':status': String(head.status) }, head.rawHeaders);
      this.#stream.respond(headers, isWhole ? WHOLE_OPTIONS : HEAD_OPTIONS);
    } catch {
      // What Node does not send; there is no telling it before.
      this.#stream.close(NGHTTP2_INTERNAL_ERROR);
    }
  }

  send(chunk: Uint8Array): boolean {
    if (this.#isOver) return true;
    this.flushHead();
    // Nothing follows the head of an answer to HEAD, a 204 or a 304.
    if (this.#stream.writableEnded || this.#stream.write(chunk)) return true;
    if (!this.#isListening) {
      this.#isListening = true;
      this.#stream.on('drain', () => {
        if (!this.#isOver) this.#listener?.drained();
      });
    }
    return false;
  }

  end(rawTrailers: readonly string[]): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#trailers = rawTrailers;
    const stream = this.#stream;
    this.flushHead(rawTrailers.length === 0);
    stream.once('finish', () => this.#dropRest());
    if (stream.writableEnded) {
      if (stream.writableFinished) this.#dropRest();
    } else stream.end();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#head = undefined;
    // Not within a report of the same connection: see H2Attempt.
    setImmediate(reset, this.#stream);
  }

  get #hasBegun(): boolean {
    return this.#head !== undefined || this.#stream.headersSent;
  }

  #sendTrailers(): void {
    if (this.#stream.closed) return;
    try {
      this.#stream.sendTrailers(isWritable(this.#trailers) ? h2Headers({}, this.#trailers) : {});
    } catch {
      this.#stream.close(NGHTTP2_INTERNAL_ERROR);
    }
  }

  /** The answer is out and the request still goes on: RFC 9113 §8.1 has the server say that it needs no more of it. */
  #dropRest(): void {
    const stream = this.#stream;
    stream.resume();
    setImmediate(() => {
      if (!stream.readableEnded && !stream.closed) stream.close(NGHTTP2_NO_ERROR);
    });
  }

  #left(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#head = undefined;
    this.#listener?.left();
  }
}

function reset(stream: ServerHttp2Stream): void {
  if (stream.destroyed) return;
  stream.close(NGHTTP2_INTERNAL_ERROR);
  stream.destroy();
}

function flush(client: H2Client): void {
  client.flushHead();
}
