// HTTP/2 on both sides of a proxy: upstreams over TLS and without, and a client with prior knowledge.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { RouteOptions } from '../../../src/proxy/admission.ts';
import { openWay } from '../../egress/_way.ts';
import { createAuthority } from '../../providers/_certificate.ts';
import type { Scope } from '../_proxy.ts';

export const authority = createAuthority();
const certificate = authority.issue({ addresses: ['127.0.0.1'] });

export type Answer = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  flags: number,
) => void;

export interface H2Upstream {
  readonly url: string;
  readonly sessions: Set<ServerHttp2Session>;
  /** All that there ever were. */
  connections: number;
}

/** By ALPN over TLS, where HTTP/1.1 is spoken, too. */
export function startH2Upstream(
  scope: Scope,
  answer: Answer,
  options: SecureServerOptions = {},
): Promise<H2Upstream & { readonly server: Http2Server }> {
  const server = createSecureServer({ ...certificate, ...options });
  return start(scope, server as unknown as Http2Server, 'https', answer);
}

/** Without TLS, to those who know. */
export function startH2cUpstream(scope: Scope, answer: Answer): Promise<H2Upstream & { readonly server: Http2Server }> {
  return start(scope, createServer(), 'http', answer);
}

async function start(
  scope: Scope,
  server: Http2Server,
  scheme: string,
  answer: Answer,
): Promise<H2Upstream & { readonly server: Http2Server }> {
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    upstream.connections += 1;
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => undefined);
  });
  server.on('stream', (stream, headers, flags, rawHeaders) => {
    stream.on('error', () => undefined);
    answer(stream, headers, rawHeaders as unknown as readonly string[], flags);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.teardown(() => {
    for (const session of sessions) session.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const upstream = { url: `${scheme}://127.0.0.1:${port}`, sessions, connections: 0, server };
  return upstream;
}

/** What a route needs to speak HTTP/2 with `startH2Upstream`. */
export async function byAlpn(scope: Scope): Promise<Partial<RouteOptions>> {
  return { http2: 'auto', way: await openWay(scope, { ca: authority.cert }) };
}

export async function connectH2(scope: Scope, port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  scope.teardown(() => session.destroy());
  await new Promise((resolve) => session.once('connect', resolve));
  return session;
}

export interface H2Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly headEnds: boolean;
  readonly interim: readonly number[];
  readonly body: string;
  readonly trailers: IncomingHttpHeaders | undefined;
  /** Whether it came to a clean end, and with which reset code otherwise. */
  readonly rstCode: number;
}

export function request(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<H2Answer> {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return answerOf(stream);
}

export function answerOf(stream: ClientHttp2Stream): Promise<H2Answer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const interim: number[] = [];
    let head: IncomingHttpHeaders = {};
    let raw: readonly string[] = [];
    let headEnds = false;
    let trailers: IncomingHttpHeaders | undefined;
    stream.on('headers', (headers) => interim.push(Number(headers[':status'])));
    stream.on('response', (headers, flags, rawHeaders) => {
      head = headers;
      raw = rawHeaders;
      headEnds = (flags & 1) !== 0;
    });
    stream.on('trailers', (headers) => {
      trailers = headers;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => undefined);
    stream.on('close', () =>
      resolve({
        status: Number(head[':status']),
        headers: head,
        rawHeaders: raw,
        headEnds,
        interim,
        body: Buffer.concat(chunks).toString('latin1'),
        trailers,
        rstCode: stream.rstCode ?? 0,
      }),
    );
  });
}
