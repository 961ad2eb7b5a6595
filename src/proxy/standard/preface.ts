// Tells HTTP/2 with prior knowledge (RFC 9113 §3.4) from HTTP/1.1 by a connection's first bytes, which whoever serves
// it then reads itself. It never answers.
import type { Socket } from 'node:net';
import type { Clock } from '../../clock.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export interface PrefaceOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** It began, and has not told by then. A connection that never said anything is ended. */
  readonly late: (socket: Socket) => void;
  /** Takes the connection over: paused, none of its bytes read. */
  readonly http1: (socket: Socket) => void;
  /** The same; the whole preface waits in it. */
  readonly http2: (socket: Socket) => void;
}

export function watchForPreface(socket: Socket, options: PrefaceOptions): void {
  let seen: Buffer | undefined;
  let isOver = false;
  const timer = options.clock.after(
    options.timeoutMs,
    // What has come while others were served is read first: it came in time.
    () => void setImmediate(expire),
    { background: true },
  );

  const expire = (): void => {
    if (isOver) return;
    stop();
    if (seen === undefined) socket.destroy();
    else options.late(socket);
  };
  const stop = (): void => {
    isOver = true;
    timer.cancel();
    socket.off('data', look);
    socket.off('end', ended);
    socket.off('close', stop);
    socket.off('error', ignore);
  };
  const ended = (): void => {
    socket.end();
  };
  const look = (chunk: Buffer): void => {
    seen = seen === undefined ? chunk : Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, preface.length);
    const isMatch = preface.compare(seen, 0, length, 0, length) === 0;
    if (isMatch && length < preface.length) return;
    stop();
    socket.pause();
    if (isMatch) {
      socket.unshift(seen);
      options.http2(socket);
    } else {
      // In this order the parser, which reads past the socket's own buffer, gets these bytes first.
      options.http1(socket);
      socket.unshift(seen);
      socket.resume();
    }
  };

  socket.on('data', look);
  socket.on('end', ended);
  socket.on('close', stop);
  socket.on('error', ignore);
}

function ignore(): void {}
