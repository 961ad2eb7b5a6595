// The contract between what a request means (exchange.ts) and how bytes are carried. A carrier brings both sides: the
// client's message and the upstream's attempts. It decides nothing about routes, tokens, 401s or errors. Types only.
//
// Header lists are name, value, name, value …, in the order and spelling of the wire; each string holds one byte a
// character (latin1). Nothing here may throw, and no call blocks: what cannot go on now says so and calls back.
import type { SidebearerError } from '../errors/sidebearer-error.ts';

/** The head of a request, as it was read. */
export interface RequestHead {
  readonly method: string;
  /** The request target, byte for byte (RFC 9112 §3.2). */
  readonly target: string;
  readonly isHttp10: boolean;
  readonly rawHeaders: readonly string[];
}

/** How a request came to us. */
export interface Arrival {
  /** The client's; undefined where there is none, as on a unix socket. */
  readonly address: string | undefined;
  readonly version: '1.0' | '1.1' | '2.0';
  readonly isSecure: boolean;
}

/** The client's side of one exchange. */
export interface ClientMessage extends RequestHead {
  /** Made when it is asked for. */
  arrival(): Arrival;
  /** Delivers the body from here on, answering `Expect: 100-continue` before the first time. */
  resumeBody(): void;
  /** No chunk comes from here on until `resumeBody`; the end may. The body begins paused. */
  pauseBody(): void;
  /** An interim answer, 102 to 199. Passed over where the client cannot take it. */
  sendInterim(status: number, rawHeaders: readonly string[]): void;
  /** What follows on this connection may be no request: it ends with this answer, and nothing more of it is read. */
  distrust(): void;
  /**
   * The head of the final answer, once; it is flushed by the end of this turn even if no body follows yet.
   * Headers are end-to-end ones only; the carrier frames the body.
   * @returns false where the head cannot be written as it is: nothing was sent
   */
  sendHead(status: number, reason: string, rawHeaders: readonly string[]): boolean;
  /** @returns false: wait for `drained` */
  send(chunk: Uint8Array): boolean;
  /** The clean end of the answer. The carrier disposes of what is left of the request's body. */
  end(rawTrailers: readonly string[]): void;
  /** Makes the client see that the answer is not whole. */
  abort(): void;
}

/** What a client's message reports. After `left` nothing more comes. */
export interface ClientListener {
  bodyReceived(chunk: Buffer): void;
  bodyEnded(): void;
  drained(): void;
  /** The connection is gone. */
  left(): void;
  /** The rest of the body cannot be read: bytes that are no HTTP. */
  broken(error: SidebearerError): void;
}

/** What is sent upstream. The origin is the upstream's own and not to be chosen here. */
export interface UpstreamRequest {
  readonly method: string;
  /** Path and query, byte for byte. */
  readonly path: string;
  /** End-to-end headers, with `Content-Length` where the client gave one; no `Host`, no framing. */
  readonly rawHeaders: readonly string[];
  readonly hasBody: boolean;
  /** It is repeated: connections that stood before may be as dead as the one it failed on. */
  readonly needsNewConnection?: boolean;
  /** The client said `TE: trailers`, for protocols that need to hear it. */
  readonly acceptsTrailers?: boolean;
}

/** How far an attempt had come when it failed. */
export type AttemptStage =
  /** No byte of the request was sent. */
  | 'connecting'
  /**
   * The upstream says, or the protocol proves, that it did nothing with the request (RFC 9113 §8.7); or a connection
   * that stood ended before any of it was sent.
   */
  | 'refused'
  /** Some or all of the request was sent, no byte of an answer came. */
  | 'sent'
  /** The answer had begun. */
  | 'answering';

/** One request on its way to the upstream. */
export interface Attempt {
  /** Begins. Reports may come before it returns. */
  start(): void;
  /** A chunk of the request's body, after `bodyWanted`. @returns false: wait for `bodyWanted` */
  write(chunk: Buffer): boolean;
  endBody(): void;
  /** Holds the answer's body back; some of it may still come. */
  pause(): void;
  resume(): void;
  /** Ends it at once, at any stage; nothing is reported afterwards. */
  abort(): void;
}

/** What an attempt reports. `ended` or `failed` comes last, and only one of them. */
export interface AnswerListener {
  bodyWanted(attempt: Attempt): void;
  interim(attempt: Attempt, status: number, rawHeaders: readonly string[]): void;
  /** The head of the final answer, as it was read. */
  answered(attempt: Attempt, status: number, reason: string, rawHeaders: readonly string[]): void;
  received(attempt: Attempt, chunk: Buffer): void;
  ended(attempt: Attempt, rawTrailers: readonly string[]): void;
  failed(attempt: Attempt, error: SidebearerError, stage: AttemptStage): void;
}

/** A carrier's way to one upstream. */
export interface Upstream {
  createAttempt(request: UpstreamRequest, listener: AnswerListener): Attempt;
  /** Ends idle connections at once, the others with their requests. */
  close(): Promise<void>;
  /** Ends all connections now. */
  destroy(): Promise<void>;
}
