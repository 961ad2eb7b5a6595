// What a client still sends of a request whose answer is out, on a connection that goes on.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../clock.ts';

/** So long the rest is read and thrown away. */
const LINGER_MS = 10_000;

/** The rest of the request is read and thrown away. */
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
