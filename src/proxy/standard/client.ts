// The client's side of one exchange on Node's http server. It frames, flushes and ends messages; what they mean is the
// exchange's business.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { SidebearerError } from '../../errors/sidebearer-error.ts';
import { arrivalOf } from '../arrival.ts';
import { cutOff } from '../cut-off.ts';
import type { Arrival, ClientListener, ClientMessage } from '../message.ts';

/** What a message needs of the server that it came by. */
export interface ClientHost {
  /** Answers say `Connection: close`. */
  readonly isDraining: boolean;
  /** The answer is over and the rest of the request's body is still to come: it is read and thrown away, for a while. */
  linger(socket: Socket, request: IncomingMessage): void;
  /** The connection ends with this answer, which must not be lost to a reset because of what is still to come. */
  endGently(socket: Socket): void;
  /** While draining: an answer that might have promised to keep its connection has left. */
  flushed(socket: Socket): void;
  /** The exchange is over. */
  forget(client: StandardClient): void;
  /** No further request is taken from this connection. */
  distrust(socket: Socket): void;
}

export class StandardClient implements ClientMessage {
  readonly method: string;
  readonly target: string;
  readonly isHttp10: boolean;
  readonly rawHeaders: readonly string[];
  readonly socket: Socket;
  readonly #host: ClientHost;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #listener: ClientListener | undefined = undefined;
  /** The client waits for a 100 before it sends the body. */
  #expectsContinue: boolean;
  #isDistrusted = false;
  #isReading = false;
  #hasBytes = false;
  #isListening = false;
  #isOver = false;

  constructor(host: ClientHost, request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) {
    this.method = request.method ?? '';
    this.target = request.url ?? '';
    this.isHttp10 = request.httpVersionMajor === 1 && request.httpVersionMinor === 0;
    this.rawHeaders = request.rawHeaders;
    this.socket = request.socket;
    this.#host = host;
    this.#request = request;
    this.#response = response;
    this.#expectsContinue = expectsContinue;
    // What the upstream said is said, and nothing is added to it.
    response.sendDate = false;
  }

  /** The connection goes on after this answer. */
  get keepsAlive(): boolean {
    return this.#response.shouldKeepAlive;
  }

  /** The whole request has been read from the connection. */
  get isReceived(): boolean {
    return this.#request.complete;
  }

  /** @param begin may already answer */
  attach(begin: (client: ClientMessage) => ClientListener): void {
    this.#listener = begin(this);
  }

  /** The connection is gone. */
  left(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listener?.left();
  }

  /** The bytes that follow are no body. */
  broken(error: SidebearerError): void {
    if (this.#isOver) return;
    this.#response.shouldKeepAlive = false;
    this.#listener?.broken(error);
  }

  arrival(): Arrival {
    return arrivalOf(this.socket, this.isHttp10 ? '1.0' : '1.1');
  }

  resumeBody(): void {
    if (this.#isOver) return;
    if (this.#expectsContinue) {
      this.#expectsContinue = false;
      if (!this.#response.headersSent) this.#response.writeContinue();
    }
    if (!this.#isReading) {
      this.#isReading = true;
      this.#request.on('data', (chunk: Buffer) => this.#listener?.bodyReceived(chunk));
      this.#request.on('end', () => this.#listener?.bodyEnded());
    }
    this.#request.resume();
  }

  pauseBody(): void {
    if (this.#isReading) this.#request.pause();
  }

  distrust(): void {
    if (this.#isOver) return;
    this.#isDistrusted = true;
    this.#response.shouldKeepAlive = false;
    this.#host.distrust(this.socket);
  }

  sendInterim(status: number, rawHeaders: readonly string[]): void {
    // 101 is never an interim answer of an exchange, and 100 is ours to give.
    if (this.#isOver || this.isHttp10 || status < 102 || this.#response.headersSent) return;
    // It cannot be held back, only left out: a client that reads nothing must not cost memory.
    if (this.socket.writableNeedDrain) return;
    this.#response.writeInformation(status, rawHeaders);
  }

  sendHead(status: number, reason: string, rawHeaders: readonly string[]): boolean {
    if (this.#isOver) return true;
    const response = this.#response;
    // A client that was never told to send its body may take the connection for free: nothing may follow on it.
    if (this.#host.isDraining || this.#expectsContinue) response.shouldKeepAlive = false;
    try {
      response.writeHead(status, /^[\t\x20-\x7e\x80-\xff]*$/.test(reason) ? reason : '', rawHeaders as string[]);
    } catch {
      // Node's check of names and values: the exchange answers that the upstream's head is not valid.
      return false;
    }
    // Head and body leave in one packet where both are at hand; a head alone must not wait for its first byte.
    process.nextTick(flush, this);
    return true;
  }

  /** @internal */
  flushHead(): void {
    if (!this.#hasBytes && !this.#isOver) this.#response.flushHeaders();
  }

  send(chunk: Uint8Array): boolean {
    if (this.#isOver) return true;
    this.#hasBytes = true;
    if (this.#response.write(chunk)) return true;
    if (!this.#isListening) {
      this.#isListening = true;
      this.#response.on('drain', () => this.#listener?.drained());
    }
    return false;
  }

  end(rawTrailers: readonly string[]): void {
    if (this.#isOver) return;
    try {
      if (rawTrailers.length > 0) this.#response.addTrailers(pairs(rawTrailers));
    } catch {
      // Node's check of names and values, as for a head.
      this.abort();
      return;
    }
    this.#over();
    if (this.#host.isDraining) this.#response.once('finish', () => this.#host.flushed(this.socket));
    const isUnread = this.#isDistrusted || !this.#request.complete;
    if (isUnread && !this.#response.shouldKeepAlive) this.#host.endGently(this.socket);
    this.#response.end();
    if (this.#isReading || !this.#request.complete) this.#host.linger(this.socket, this.#request);
  }

  abort(): void {
    if (this.#isOver) return;
    this.#over();
    const { socket } = this;
    // Where only the connection's end delimits the answer, a FIN would be a clean end.
    if (this.isHttp10) cutOff(socket);
    else socket.destroy();
  }

  #over(): void {
    this.#isOver = true;
    this.#host.forget(this);
  }
}

function flush(client: StandardClient): void {
  client.flushHead();
}

function pairs(raw: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i < raw.length; i += 2) list.push([raw[i] ?? '', raw[i + 1] ?? '']);
  return list;
}
