// How a request came to us, read from its connection. It trusts nothing that the request says itself.
import type { Socket } from 'node:net';
import type { Arrival } from './message.ts';

/** @param socket undefined: the connection is gone */
export function arrivalOf(socket: Socket | undefined, version: Arrival['version']): Arrival {
  return {
    address: socket?.remoteAddress,
    version,
    isSecure: socket !== undefined && 'encrypted' in socket && socket.encrypted === true,
  };
}
