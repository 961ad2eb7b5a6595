// The requests of one HTTP/1.1 connection, one at a time: a pipelined one begins when the answer before it is whole, as
// at any server that does not know which of them depend on each other (RFC 9112 §9.3.2). Bytes that are no request are
// told after the answers to what came before them.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { SidebearerError } from '../../errors/sidebearer-error.ts';
import type { StandardClient } from './client.ts';

export interface PipelineHost {
  /** Requests that wait behind others, on all connections. One costs Node 5 to 6 KB, and a read brings thousands. */
  readonly crowd: { waiting: number; readonly max: number };
  create(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): StandardClient;
  start(client: StandardClient): void;
  /** What came was no request, and nobody else is to be answered on this connection. */
  refuse(socket: Socket, error: SidebearerError): void;
}

interface Waiting {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly expectsContinue: boolean;
}

/**
 * Above it no more is read, so that a connection holds this many and what one read brings. Not lower: what is not read
 * hides that the client has left.
 */
const MAX_WAITING = 64;

export class Pipeline {
  readonly #host: PipelineHost;
  readonly #socket: Socket;
  #active: StandardClient | undefined = undefined;
  #waiting: Waiting[] | undefined = undefined;
  #ending: SidebearerError | undefined = undefined;
  #isClosed = false;
  #isGuarded = false;

  constructor(host: PipelineHost, socket: Socket) {
    this.#host = host;
    this.#socket = socket;
  }

  /** Nothing is being answered or waits for it. */
  get isFree(): boolean {
    return this.#active === undefined && this.#waiting === undefined && this.#ending === undefined;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** No further request is taken. */
  close(): void {
    this.#isClosed = true;
    this.#host.crowd.waiting -= this.#waiting?.length ?? 0;
    this.#waiting = undefined;
  }

  /** The connection is gone. */
  left(): void {
    this.close();
    this.#active?.left();
  }

  take(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    if (this.#isClosed || this.#ending !== undefined) return;
    if (this.isFree) {
      this.#begin({ request, response, expectsContinue });
      return;
    }
    const { crowd } = this.#host;
    if (crowd.waiting >= crowd.max) {
      this.#ending = new SidebearerError('overloaded', { retryAfterMs: 1000 });
    } else {
      this.#waiting ??= [];
      this.#waiting.push({ request, response, expectsContinue });
      crowd.waiting += 1;
    }
    if (this.#isFull) this.#hold();
  }

  /** The answer to a request is over. */
  ended(client: StandardClient): void {
    if (client !== this.#active) return;
    this.#active = undefined;
    if (!client.keepsAlive) this.close();
    else if (!this.isFree) process.nextTick(() => this.#next());
  }

  /** What follows is no HTTP. */
  broken(error: SidebearerError): void {
    if (this.#isClosed || this.#ending !== undefined) return;
    const last = this.#waiting?.at(-1);
    if (this.#active === undefined && last === undefined) {
      this.close();
      this.#host.refuse(this.#socket, error);
    } else if (last === undefined && this.#active?.isReceived === false) {
      // A body that turns out malformed: the exchange answers, or aborts what it had begun to answer.
      this.#active.broken(error);
    } else {
      if (last?.request.complete === false) {
        this.#waiting?.pop();
        this.#host.crowd.waiting -= 1;
      }
      this.#ending = error;
    }
  }

  get #isFull(): boolean {
    return this.#ending?.code === 'overloaded' || (this.#waiting !== undefined && this.#waiting.length >= MAX_WAITING);
  }

  #hold(): void {
    if (!this.#isGuarded) {
      this.#isGuarded = true;
      // Node's http reads on at the end of each answer, whoever paused the socket. It listens to this, too, and first.
      this.#socket.on('resume', () => {
        if (this.#isFull) this.#socket.pause();
      });
    }
    this.#socket.pause();
  }

  #begin(waiting: Waiting): void {
    const client = this.#host.create(waiting.request, waiting.response, waiting.expectsContinue);
    this.#active = client;
    this.#host.start(client);
  }

  #next(): void {
    if (this.#isClosed || this.#active !== undefined || !this.#socket.writable) return;
    const waiting = this.#waiting?.shift();
    if (this.#waiting?.length === 0) this.#waiting = undefined;
    if (waiting !== undefined) {
      this.#host.crowd.waiting -= 1;
      if (!this.#isFull) this.#socket.resume();
      this.#begin(waiting);
    } else if (this.#ending !== undefined) {
      this.close();
      this.#host.refuse(this.#socket, this.#ending);
    }
  }
}
