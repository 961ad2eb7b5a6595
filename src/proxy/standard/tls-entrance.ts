// TLS in front of the standard carrier's listener: it brings a connection from its first byte to the end of the
// handshake, and whoever shows no certificate of ours goes no further. It reads nothing of what is said afterwards.
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { SidebearerError, systemCode } from '../../errors/sidebearer-error.ts';
import type { ListenerTls } from '../listener-tls.ts';

export interface TlsEntranceOptions {
  readonly tls: ListenerTls;
  readonly handshakeTimeoutMs: number;
  /** The handshake is over and the client is one of ours. */
  readonly entered: (socket: TLSSocket) => void;
  readonly failed: (error: SidebearerError) => void;
}

export interface TlsEntrance {
  take(socket: Socket): void;
  /** For handshakes that begin from now on. */
  reconfigure(tls: ListenerTls, handshakeTimeoutMs: number): void;
  /** Ends the handshakes that are still going on. */
  close(): void;
}

export function createTlsEntrance(options: TlsEntranceOptions): TlsEntrance {
  const { entered, failed } = options;
  /** By the client's address, for a connection's two sockets do not know each other. */
  const handshakes = new Map<string, Socket>();
  let made = JSON.stringify([options.tls, options.handshakeTimeoutMs]);
  let server = createHandshakes(options.tls, options.handshakeTimeoutMs);

  function createHandshakes(tls: ListenerTls, handshakeTimeoutMs: number): Server {
    const created = createServer({
      cert: tls.cert,
      key: tls.key,
      handshakeTimeout: handshakeTimeoutMs,
      // Which of the two it is then is told by the first bytes, as without TLS.
      ALPNProtocols: ['h2', 'http/1.1'],
      ...(tls.clientCa !== undefined && { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
    });
    created.on('secureConnection', secured);
    created.on('tlsClientError', broken);
    return created;
  }

  function secured(socket: TLSSocket): void {
    handshakes.delete(addressOf(socket));
    socket.allowHalfOpen = true;
    entered(socket);
  }

  function broken(thrown: Error, socket: TLSSocket): void {
    // What was read before the end of a handshake is known by the lower socket alone.
    const isSilent = handshakes.get(addressOf(socket))?.bytesRead === 0;
    const error = isSilent ? undefined : handshakeError(thrown, socket);
    if (error !== undefined) failed(error);
    socket.destroy();
  }

  return {
    take(socket) {
      const address = addressOf(socket);
      handshakes.set(address, socket);
      socket.once('close', () => {
        if (handshakes.get(address) === socket) handshakes.delete(address);
      });
      // Within the handshake a client that ends its side has left.
      socket.allowHalfOpen = false;
      server.emit('connection', socket);
    },
    reconfigure(tls, handshakeTimeoutMs) {
      // Not setSecureContext: whether clients must show a certificate is the server's own from its beginning. It listens
      // nowhere, so that nothing is left of the old one but its handshakes.
      const next = JSON.stringify([tls, handshakeTimeoutMs]);
      // Unchanged, it goes on knowing the sessions that clients come back with.
      if (next === made) return;
      made = next;
      server = createHandshakes(tls, handshakeTimeoutMs);
    },
    close() {
      for (const socket of handshakes.values()) socket.destroy();
    },
  };
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** undefined: the client left. It is nobody's mistake. */
function handshakeError(thrown: Error, socket: TLSSocket): SidebearerError | undefined {
  const code = systemCode(thrown) ?? '';
  // Node ends a client whose certificate was signed by somebody else without an error of its own.
  const { authorizationError } = socket;
  if (authorizationError !== undefined && authorizationError !== null) {
    const systemCode = String(authorizationError);
    return new SidebearerError('client_certificate_refused', { systemCode }, thrown);
  }
  if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') {
    return new SidebearerError('client_certificate_refused', { systemCode: code }, thrown);
  }
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return new SidebearerError('request_timeout', { systemCode: code }, thrown);
  return code.startsWith('ERR_SSL_')
    ? new SidebearerError('client_tls_failed', { systemCode: code }, thrown)
    : undefined;
}
