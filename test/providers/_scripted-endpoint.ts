// A provider's endpoint on a raw socket: it answers what a test scripts, byte for byte, and keeps what it was sent.

import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Certificate } from './_certificate.ts';

export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly form: Readonly<Record<string, string>>;
}

/** Raw bytes of an answer, after which the connection ends; or what is done instead of answering. */
export type Reply = string | { readonly end: 'silence' | 'reset' | 'close'; readonly after?: string };

export interface ScriptedEndpoint {
  readonly origin: string;
  readonly port: number;
  readonly requests: readonly SeenRequest[];
  readonly connections: number;
  readonly bytesReceived: number;
  /** Resolves when so many requests have been read whole. */
  seen(count: number): Promise<void>;
  /** Resolves when no connection is left. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

export interface EndpointScript {
  readonly reply?: (request: SeenRequest, index: number) => Reply;
  /** Called for each connection before anything is read. */
  readonly onConnection?: (socket: Socket) => void;
  readonly certificate?: Certificate;
}

export async function createScriptedEndpoint(script: EndpointScript): Promise<ScriptedEndpoint> {
  const requests: SeenRequest[] = [];
  const sockets = new Set<Socket>();
  const waiting = new Set<() => void>();
  let connections = 0;
  let bytesReceived = 0;
  const stir = (): void => {
    for (const wake of [...waiting]) wake();
  };
  const until = (isTrue: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!isTrue()) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });

  const serve = (socket: Socket): void => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      stir();
    });
    script.onConnection?.(socket);
    let received = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      bytesReceived += chunk.length;
      received = Buffer.concat([received, chunk]);
      const request = parse(received);
      if (request === undefined || script.reply === undefined) return;
      received = Buffer.alloc(0);
      requests.push(request);
      const reply = script.reply(request, requests.length - 1);
      if (typeof reply === 'string') socket.end(reply);
      else if (reply.after !== undefined) socket.write(reply.after, () => finish(socket, reply.end));
      else finish(socket, reply.end);
      stir();
    });
  };
  const server =
    script.certificate === undefined ? createServer(serve) : createTlsServer({ ...script.certificate }, serve);
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const scheme = script.certificate === undefined ? 'http' : 'https';
  return {
    origin: `${scheme}://127.0.0.1:${port}`,
    port,
    requests,
    get connections() {
      return connections;
    },
    get bytesReceived() {
      return bytesReceived;
    },
    seen: (count) => until(() => requests.length >= count),
    idle: () => until(() => sockets.size === 0),
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** A whole HTTP/1.1 answer as text. */
export function answerOf(status: number, body: string, headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries({ 'content-type': 'application/json', ...headers }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return [
    `HTTP/1.1 ${status} Scripted`,
    ...lines,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}

export function jsonOf(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): string {
  return answerOf(status, JSON.stringify(body), headers);
}

function finish(socket: Socket, how: 'silence' | 'reset' | 'close'): void {
  if (how === 'reset') socket.resetAndDestroy();
  if (how === 'close') socket.end();
}

function parse(received: Buffer): SeenRequest | undefined {
  const end = received.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [start = '', ...lines] = received.subarray(0, end).toString('latin1').split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const body = received.subarray(end + 4).toString();
  if (Buffer.byteLength(body) < Number(headers['content-length'] ?? 0)) return undefined;
  const [method = '', target = ''] = start.split(' ');
  return { method, target, headers, body, form: Object.fromEntries(new URLSearchParams(body)) };
}
