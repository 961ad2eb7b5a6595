// An egress proxy on bare sockets: it takes CONNECT alone, leads names to local ports, and keeps every byte that a
// client gives it, in the tunnels and outside of them.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Certificate } from '../providers/_certificate.ts';
import type { Scope } from '../proxy/_proxy.ts';

export interface ConnectProxyScript {
  /** Where `host:port` of a CONNECT leads: a port of 127.0.0.1. */
  readonly ways?: Readonly<Record<string, number>>;
  /** An answer other than the tunnel: raw bytes, or what is done instead. */
  readonly reply?: string | 'silence' | 'close';
  readonly certificate?: Certificate;
}

export interface ConnectProxy {
  readonly port: number;
  /** `http://127.0.0.1:port` or https. */
  readonly url: string;
  readonly name: string;
  /** The head of each request that it was asked itself. */
  readonly heads: readonly string[];
  /** Everything that clients sent outside of tunnels, one character a byte. */
  outside(): string;
  /** Everything that clients sent through tunnels, one character a byte. */
  inside(): string;
  /** Connections that are open now. */
  open(): number;
  close(): Promise<void>;
}

export async function startConnectProxy(scope: Scope, script: ConnectProxyScript = {}): Promise<ConnectProxy> {
  const sockets = new Set<Socket>();
  const heads: string[] = [];
  let outside = '';
  let inside = '';

  const serve = (client: Socket): void => {
    sockets.add(client);
    client.on('error', () => undefined);
    client.on('close', () => sockets.delete(client));
    let text = '';
    const read = (chunk: Buffer): void => {
      outside += chunk.toString('latin1');
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end === -1) return;
      client.off('data', read);
      heads.push(text.slice(0, end));
      answer(client, /^CONNECT (\S+) HTTP\/1\.1\r\n/.exec(text)?.[1], Buffer.from(text.slice(end + 4), 'latin1'));
    };
    client.on('data', read);
  };

  const answer = (client: Socket, authority: string | undefined, early: Buffer): void => {
    if (script.reply === 'silence') return;
    if (script.reply === 'close') return void client.destroy();
    if (script.reply !== undefined) return void client.end(script.reply, 'latin1');
    const port = script.ways?.[authority ?? ''];
    if (port === undefined) return void client.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n');
    const server = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      inside += early.toString('latin1');
      server.write(early);
      client.on('data', (chunk: Buffer) => {
        inside += chunk.toString('latin1');
      });
      client.pipe(server).pipe(client);
    });
    sockets.add(server);
    server.on('error', () => client.destroy());
    server.on('close', () => {
      sockets.delete(server);
      client.destroySoon();
    });
    client.on('close', () => server.destroy());
  };

  const { certificate } = script;
  const server = certificate === undefined ? createServer(serve) : createTlsServer({ ...certificate }, serve);
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  scope.teardown(close);
  return {
    port,
    url: `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    name: `127.0.0.1:${port}`,
    heads,
    outside: () => outside,
    inside: () => inside,
    open: () => sockets.size,
    close,
  };
}
