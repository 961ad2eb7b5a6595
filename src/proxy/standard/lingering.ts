// What a client still sends when its answer is out. Neither may it be kept, nor may the answer be lost because of it.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../clock.ts';

/** So long the rest is read and thrown away. */
const LINGER_MS = 10_000;

/**
 * Ends our side and throws away what still comes, until the client has ended its own. Closed at once, with bytes unread,
 * a connection is reset, and the answer that is on its way is lost with it (RFC 9112 §9.6).
 */
export function endGently(clock: Clock, socket: Socket, last?: Buffer): void {
  // The parser gets no more of it: whatever it is, it would be kept for an answer that never comes.
  for (const event of ['data', 'pause', 'resume']) socket.removeAllListeners(event);
  socket.on('error', () => undefined);
  socket.on('data', () => undefined);
  socket.resume();
  if (last === undefined) socket.end();
  else socket.end(last);
  const timer = clock.after(LINGER_MS, () => socket.destroy(), { background: true });
  socket.once('close', () => timer.cancel());
}

/** The connection goes on after an early answer: the rest of the request is read and thrown away. */
export function linger(clock: Clock, socket: Socket, request: IncomingMessage): void {
  // In the turn of its head even a request without a body is not complete yet.
  setImmediate(() => {
    request.removeAllListeners('data');
    request.resume();
    if (request.complete || socket.destroyed) return;
    const timer: Timer = clock.after(LINGER_MS, () => socket.destroy(), { background: true });
    request.once('end', () => timer.cancel());
    socket.once('close', () => timer.cancel());
  });
}
