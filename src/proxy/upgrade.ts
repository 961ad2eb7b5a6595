// Upgraded connections: takes handshakes over, knows which upgrades are open, and ends them in order. What a handshake
// means is handshake.ts's business.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Bridge } from './bridge.ts';
import { Handshake, type HandshakeOptions } from './handshake.ts';

export interface Upgrades {
  /** Takes a handshake over, its socket included. @param head bytes that came glued to it */
  begin(request: IncomingMessage, socket: Socket, head: Buffer): void;
  /** Established and not yet over. */
  readonly open: number;
  /** Ends the established ones, the oldest first, letting out what is on its way. */
  end(): void;
}

export function createUpgrades(options: HandshakeOptions): Upgrades {
  const open = new Set<Bridge>();
  return {
    begin: (request, socket, head) => new Handshake(options, open, request, socket, head).begin(),
    get open() {
      return open.size;
    },
    end() {
      for (const bridge of open) bridge.destroySoon();
    },
  };
}
