// The API behind the sidecar in the demo and the system tests: takes a bearer token that is active, and tells what
// it received. It never repeats a whole token.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { bind } from '../src/listen.ts';

export interface DemoUpstreamOptions {
  /** Whether an access token is good now. */
  readonly introspect: (accessToken: string) => Promise<boolean>;
  /** Default: a free one. */
  readonly port?: number;
  /** Default: loopback. */
  readonly host?: string;
  /** The setting or variable that moves the port, for the error where it is busy. */
  readonly portSetting?: string;
}

export interface DemoUpstream {
  readonly url: string;
  /** Requests and handshakes so far, by whether their token was good. */
  readonly counts: { readonly accepted: number; readonly refused: number };
  close(): Promise<void>;
}

/** What a request is answered with, as JSON. */
export interface Echo {
  readonly method: string;
  readonly path: string;
  /** Name, value, name, value … as received; `authorization` shortened. */
  readonly headers: readonly string[];
  readonly body: { readonly bytes: number; readonly sha256: string };
  /** Which token it was, to tell one from the next. */
  readonly token: string;
}

export async function createDemoUpstream(options: DemoUpstreamOptions): Promise<DemoUpstream> {
  const counts = { accepted: 0, refused: 0 };
  const sockets = new WebSocketServer({ noServer: true });

  /** The token where it is good. */
  async function admit(request: IncomingMessage): Promise<string | undefined> {
    const token = bearerOf(request);
    const isGood = token !== undefined && (await options.introspect(token));
    counts[isGood ? 'accepted' : 'refused'] += 1;
    return isGood ? token : undefined;
  }

  const server = createServer((request, response) => {
    // A client that leaves is no fault of the demo.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    void admit(request)
      .then((token) => (token === undefined ? refuse(request, response) : serve(request, response, token)))
      .catch(() => response.destroy());
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => undefined);
    void admit(request).then((token) => {
      if (token === undefined) {
        const challenge = challengeOf(request);
        socket.end(
          `HTTP/1.1 401 Unauthorized\r\nwww-authenticate: ${challenge}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
        );
        return;
      }
      sockets.handleUpgrade(request, socket, head, (client) => {
        client.on('error', () => undefined);
        client.on('message', (data, isBinary) => client.send(data, { binary: isBinary }));
      });
    });
  });
  const address = { host: options.host ?? '127.0.0.1', port: options.port ?? 0 };
  const { url } = await bind(server, address, options.portSetting ?? 'port');

  return {
    url,
    counts,
    close: () =>
      new Promise((resolve) => {
        for (const client of sockets.clients) client.terminate();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function bearerOf(request: IncomingMessage): string | undefined {
  return /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1];
}

/** RFC 6750, section 3: without a token no error is named. */
function challengeOf(request: IncomingMessage): string {
  const isWithout = request.headers.authorization === undefined;
  return isWithout ? 'Bearer realm="demo"' : 'Bearer realm="demo", error="invalid_token"';
}

function refuse(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  const headers = { 'www-authenticate': challengeOf(request), 'content-type': 'application/json' };
  response.writeHead(401, headers).end('{"error":"invalid_token"}\n');
}

async function serve(request: IncomingMessage, response: ServerResponse, token: string): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://demo');
  if (pathname.endsWith('/sse')) {
    request.resume();
    return sendEvents(response, Number(searchParams.get('count') ?? 10), Number(searchParams.get('every') ?? 1_000));
  }
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  if (pathname.endsWith('/slow')) await delay(Number(searchParams.get('ms') ?? 3_000));
  const echo: Echo = {
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.rawHeaders.map((text, index, all) =>
      index % 2 === 1 && all[index - 1]?.toLowerCase() === 'authorization' ? `Bearer ${shorten(token)}` : text,
    ),
    body: { bytes, sha256: hash.digest('hex') },
    token: shorten(token),
  };
  response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(echo, null, 2)}\n`);
}

/** @param everyMs between two events */
async function sendEvents(response: ServerResponse, count: number, everyMs: number): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (let number = 1; number <= count && !response.destroyed; number += 1) {
    response.write(`id: ${number}\ndata: ${new Date().toISOString()}\n\n`);
    if (number < count) await delay(everyMs);
  }
  response.end();
}

/** Enough to tell tokens apart: the first four characters and a part of the hash. */
export function shorten(token: string): string {
  return `${token.slice(0, 4)}… (sha256 ${createHash('sha256').update(token).digest('hex').slice(0, 12)})`;
}
