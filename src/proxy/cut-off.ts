// Ends a client's connection within an answer so that the client cannot take it for the answer's end.
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

export function cutOff(socket: Socket): void {
  // Within TLS an end without close_notify is none. A unix socket knows no reset.
  if (socket instanceof TLSSocket || socket.remotePort === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
