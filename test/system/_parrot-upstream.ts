// An upstream that takes any token or refuses it, and that can answer with the request's own bytes where an answer
// should be.
import { createServer, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { bind } from '../../src/listen.ts';

export interface ParrotUpstream {
  readonly url: string;
  /** How often the next requests are refused with 401. */
  refusals: number;
  /** The bytes of the next answers, made from the request's head; undefined: a well-formed one. `''`: none. */
  raw: ((head: string) => string) | undefined;
  /** `Authorization` of every request. */
  readonly authorizations: readonly string[];
  close(): Promise<void>;
}

/** Answers that are none, each made of what the request said. */
export const rawAnswers: Readonly<Record<string, (head: string) => string>> = {
  'its own head': (head) => head,
  'a status line of it': (head) => `HTTP/1.1 ${head.replace(/\r\n/g, ' ')}\r\n\r\n`,
  'a header that is none': (head) => `HTTP/1.1 200 OK\r\n${head.replace(/\r\n/g, ' ')}\r\n\r\n`,
  'chunks that are none': (head) => `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${head}`,
  nothing: () => '',
};

export async function createParrotUpstream(): Promise<ParrotUpstream> {
  const authorizations: string[] = [];

  const answer = (request: IncomingMessage, socket: Duplex): boolean => {
    authorizations.push(request.headers.authorization ?? '');
    if (upstream.raw === undefined) return false;
    const lines = request.rawHeaders.flatMap((name, index, all) =>
      index % 2 === 0 ? [`${name}: ${all[index + 1]}`] : [],
    );
    socket.end(upstream.raw([`${request.method} ${request.url} HTTP/1.1`, ...lines].join('\r\n')));
    return true;
  };
  const server = createServer((request, response) => {
    request.resume();
    response.on('error', () => undefined);
    if (answer(request, request.socket)) return;
    if (upstream.refusals > 0) {
      upstream.refusals -= 1;
      response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end('refused');
    } else response.end('served');
  });
  server.on('upgrade', (request, socket: Duplex) => {
    socket.on('error', () => undefined);
    if (!answer(request, socket)) socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
  });
  const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'port');

  const upstream: ParrotUpstream = {
    url,
    refusals: 0,
    raw: undefined,
    authorizations,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return upstream;
}
