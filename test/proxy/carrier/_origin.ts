// An upstream of bare sockets that records every byte it gets, and answers what the test wrote down.
import type { Socket } from 'node:net';
import { type Scope, startRawUpstream } from '../_proxy.ts';

export interface OriginRequest {
  readonly connection: OriginConnection;
  /** Request line and headers, one character a byte, without the empty line. */
  readonly head: string;
  readonly line: string;
  readonly headers: readonly string[];
  /** As it was framed. */
  readonly body: string;
}

export interface OriginConnection {
  readonly socket: Socket;
  readonly index: number;
  /** Everything received, one character a byte. */
  bytes: string;
  isClosed: boolean;
}

export interface Origin {
  readonly url: string;
  readonly host: string;
  readonly connections: OriginConnection[];
  readonly requests: OriginRequest[];
}

/** @param answer gets each request once its body is whole, and what it returns is written */
export async function startOrigin(
  scope: Scope,
  answer: (request: OriginRequest) => string | Buffer | undefined,
): Promise<Origin> {
  const connections: OriginConnection[] = [];
  const requests: OriginRequest[] = [];
  const { url } = await startRawUpstream(scope, (socket) => {
    const connection: OriginConnection = { socket, index: connections.length, bytes: '', isClosed: false };
    connections.push(connection);
    socket.on('close', () => {
      connection.isClosed = true;
    });
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1');
      connection.bytes += text;
      rest += text;
      for (let size = requestSize(rest); size !== undefined; size = requestSize(rest)) {
        const end = rest.indexOf('\r\n\r\n');
        const head = rest.slice(0, end);
        const [line = '', ...headers] = head.split('\r\n');
        const request = { connection, head, line, headers, body: rest.slice(end + 4, size) };
        rest = rest.slice(size);
        requests.push(request);
        const bytes = answer(request);
        if (bytes !== undefined) socket.write(bytes, 'latin1');
      }
    });
  });
  return { url, host: new URL(url).host, connections, requests };
}

function requestSize(text: string): number | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const head = text.slice(0, end);
  const begin = end + 4;
  if (/^transfer-encoding: chunked$/im.test(head)) {
    if (text.startsWith('0\r\n\r\n', begin)) return begin + 5;
    const last = text.indexOf('\r\n0\r\n\r\n', begin);
    return last === -1 ? undefined : last + 7;
  }
  const size = begin + Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
  return text.length < size ? undefined : size;
}

/** An upstream that counts connections and must never get one. */
export async function startForbidden(scope: Scope): Promise<Origin> {
  return startOrigin(scope, () => undefined);
}

/** The data of a body that came chunked or plain. */
export function dataOf(body: string): string {
  let data = '';
  let rest = body;
  for (let match = /^([0-9a-f]+)\r\n/i.exec(rest); match !== null; match = /^([0-9a-f]+)\r\n/i.exec(rest)) {
    const size = Number.parseInt(match[1] ?? '', 16);
    if (size === 0) return data;
    data += rest.slice(match[0].length, match[0].length + size);
    rest = rest.slice(match[0].length + size + 2);
  }
  return body;
}
