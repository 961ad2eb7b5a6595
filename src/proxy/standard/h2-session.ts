// One client's connection of HTTP/2: bounds it, makes an exchange of each stream, and ends it in order. It gives no
// meaning to any request.
import { constants, performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../clock.ts';
import { SidebearerError, systemCode } from '../../errors/sidebearer-error.ts';
import type { ClientListener, ClientMessage } from '../message.ts';
import { renderProblem } from '../problem.ts';
import { H2Client } from './h2-client.ts';
import { h2Headers } from './h2-headers.ts';

export interface H2SessionOptions {
  readonly clock: Clock;
  readonly headerBytes: number;
  /** An idle connection is ended then. */
  readonly keepAliveMs: number;
  readonly begin: (client: ClientMessage) => ClientListener;
  /** Frames that are no HTTP/2, and heads that are too large. */
  readonly failed: (error: SidebearerError) => void;
}

export interface H2Session {
  /** Asks the client to take its next requests elsewhere; those that it still sends are answered. */
  drain(): void;
  /** Takes no further request; the connection ends with the last answer. */
  close(): void;
}

/** The requests that one connection may have at work; each may hold a flow-control window of 64 KiB in memory. */
const MAX_STREAMS = 100;

/** Rapid reset (CVE-2023-44487): so many resets at once, and so many a second ever after, then the connection ends. */
const RESET_BURST = 500;
const RESETS_PER_SECOND = 50;

/** Above our own limits, which are answered with 431, so that a client learns why; beyond these Node resets. */
const MAX_HEADER_PAIRS = 4096;

/** A GOAWAY that refuses nothing yet (RFC 9113 §6.8). */
const LAST_POSSIBLE_STREAM = 2 ** 31 - 1;

const END_STREAM = constants.NGHTTP2_FLAG_END_STREAM;

/** @param socket paused; the client's preface waits in it */
export function serveH2(socket: Socket, options: H2SessionOptions): H2Session {
  // A client that ended its side has left; the server of HTTP/1.1 would still answer it.
  socket.allowHalfOpen = false;
  const session = performServerHandshake(socket, {
    settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: Math.max(options.headerBytes, 65_535) },
    maxHeaderListPairs: MAX_HEADER_PAIRS,
    maxSendHeaderBlockLength: 1024 * 1024,
    streamResetBurst: RESET_BURST,
    streamResetRate: RESETS_PER_SECOND,
    // Whether an upstream may repeat a header is between it and the client.
    strictSingleValueFields: false,
  });
  let open = 0;
  let isDraining = false;
  let idle: Timer | undefined;

  const close = (): void => {
    if (!session.closed && !session.destroyed) session.close();
  };
  const sendNotice = (): void => {
    if (!session.closed && !session.destroyed) session.goaway(constants.NGHTTP2_NO_ERROR, LAST_POSSIBLE_STREAM);
  };
  const becomeIdle = (): void => {
    idle = options.clock.after(options.keepAliveMs, close, { background: true });
  };

  const received = (stream: ServerHttp2Stream, flags: number, rawHeaders: readonly string[]): void => {
    idle?.cancel();
    open += 1;
    // Each failure shows in `aborted` and `close`.
    stream.on('error', () => undefined);
    stream.on('close', () => {
      open -= 1;
      if (open === 0) becomeIdle();
    });
    if (sizeOf(rawHeaders) > options.headerBytes) {
      refuse(stream, new SidebearerError('request_headers_too_large'), options.failed);
      return;
    }
    new H2Client(stream, rawHeaders, (flags & END_STREAM) === 0).attach(options.begin);
  };

  session.on('stream', (stream, _headers, flags, rawHeaders) => received(stream, flags, rawHeaders));
  session.on('error', (thrown: Error) => {
    const code = systemCode(thrown) ?? '';
    // What the connection itself suffered is nobody's mistake.
    if (!code.startsWith('ERR_HTTP2_')) return;
    options.failed(new SidebearerError('request_malformed', { systemCode: code }, thrown));
  });
  session.on('close', () => {
    idle?.cancel();
    socket.destroySoon();
  });
  becomeIdle();

  return {
    drain() {
      if (isDraining) return;
      isDraining = true;
      sendNotice();
    },
    close,
  };
}

function refuse(stream: ServerHttp2Stream, error: SidebearerError, failed: (error: SidebearerError) => void): void {
  failed(error);
  const problem = renderProblem(error);
  stream.respond(h2Headers({ ':status': String(problem.status) }, problem.headers));
  stream.end(problem.body);
  stream.resume();
}

/** RFC 9113 §6.5.2 counts 32 bytes more for each; this is what HTTP/1.1 would have sent. */
function sizeOf(rawHeaders: readonly string[]): number {
  let bytes = rawHeaders.length * 2;
  for (const part of rawHeaders) bytes += part.length;
  return bytes;
}
