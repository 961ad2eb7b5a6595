// An upstream behind TLS that counts what clients get to say to it, and answers requests and WebSocket handshakes.
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { onHead, type Scope } from './_proxy.ts';

export interface TlsUpstream {
  readonly port: number;
  /** `https://127.0.0.1:port`. */
  readonly url: string;
  /** Heads of requests, as they came. */
  readonly heads: readonly string[];
  /** Bytes that came out of TLS. */
  bytes(): number;
  /** TCP connections so far. */
  connections(): number;
  /** Names that clients asked for. */
  readonly serverNames: readonly string[];
}

const upgraded = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello';
const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

export async function startTlsUpstream(scope: Scope, options: TlsOptions): Promise<TlsUpstream> {
  const heads: string[] = [];
  const serverNames: string[] = [];
  const sockets = new Set<TLSSocket>();
  let bytes = 0;
  let connections = 0;
  const server = createServer(options, (socket) => {
    sockets.add(socket);
    serverNames.push(typeof socket.servername === 'string' ? socket.servername : '');
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    onHead(socket, (head) => {
      heads.push(head);
      socket.write(/^upgrade: websocket$/im.test(head) ? upgraded : answer);
    });
  });
  server.on('connection', () => {
    connections += 1;
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.teardown(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `https://127.0.0.1:${port}`,
    heads,
    bytes: () => bytes,
    connections: () => connections,
    serverNames,
  };
}

/** Requests that a client of the proxy may make, each the last on its connection. */
export const requests: Readonly<Record<string, string>> = {
  'a GET': 'GET /x HTTP/1.1\r\nHost: proxy.test\r\nConnection: close\r\n\r\n',
  'a POST': 'POST /x HTTP/1.1\r\nHost: proxy.test\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody',
  'an upgrade':
    'GET /x HTTP/1.1\r\nHost: proxy.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
};
