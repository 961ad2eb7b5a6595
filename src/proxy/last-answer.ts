// The last answer on a connection that has no message any more. A socket that is closed with bytes unread sends a reset,
// which overtakes what was written and takes it from the client: so the rest is read and thrown away, for a while.
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';

/** Longer than a client needs to see the end; short for one that never means to stop. */
const LINGER_MS = 5_000;

/** Ends our side, after `bytes` where there are any, and the connection when the client has ended its own. */
export function endLast(socket: Socket, clock: Clock, bytes?: Buffer): void {
  // A parser gets no more of it: whatever it is, it would be kept for an answer that never comes.
  for (const event of ['data', 'pause', 'resume']) socket.removeAllListeners(event);
  socket.on('error', () => undefined);
  socket.on('data', () => undefined);
  socket.resume();
  if (bytes === undefined) socket.end();
  else socket.end(bytes);
  if (socket.destroyed) return;
  const timer = clock.after(LINGER_MS, () => socket.destroy(), { background: true });
  socket.once('close', () => timer.cancel());
}
