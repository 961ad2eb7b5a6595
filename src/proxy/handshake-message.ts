// The messages around a handshake, where Node and http-proxy-3 speak in other shapes than the rest of the proxy: the
// headers that go upstream, and an answer that is no 101, held and passed on byte for byte.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { cutOff } from './cut-off.ts';
import { clientHeaders } from './headers.ts';
import { endLast } from './last-answer.ts';

/** So much of a held answer's body is read; the rest waits at the upstream. */
const HELD_BODY_BYTES = 64 * 1024;

/** Keeps an answer's body back until it is released: then what came of it is the caller's. */
export function holdAnswer(answer: IncomingMessage): { release(): readonly Buffer[] } {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const hold = (chunk: Buffer): void => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > HELD_BODY_BYTES) answer.pause();
  };
  answer.on('data', hold);
  // Its failure shows in what `sendAnswer` finds.
  answer.on('error', () => undefined);
  return {
    release() {
      answer.off('data', hold);
      return chunks;
    },
  };
}

/** Writes an answer to the client's bare socket, as the last one on its connection. @param held what came of its body */
export function sendAnswer(answer: IncomingMessage, held: readonly Buffer[], socket: Socket, clock: Clock): void {
  let head = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage ?? ''}\r\n`;
  const headers = clientHeaders(answer.rawHeaders, answer.statusCode ?? 0, false);
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  socket.write(`${head}Connection: close\r\n\r\n`, 'latin1');
  for (const chunk of held) socket.write(chunk);
  socket.on('close', () => answer.destroy());
  const end = (): void => endLast(socket, clock);
  // Without a length the end of the connection delimits it; then only a reset tells that it is not whole.
  const cut = (): void => cutOff(socket);
  if (answer.readableEnded) {
    end();
  } else if (answer.destroyed) {
    cut();
  } else {
    answer.on('error', cut);
    answer.on('end', end);
    answer.pipe(socket, { end: false });
  }
}

/** An object, as Node's client wants it: one spelling a name, all its values. */
export function handshakeHeaders(raw: readonly string[], host: string): NodeJS.Dict<string> {
  const values = new Map<string, { name: string; values: string[] }>();
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const entry = values.get(name.toLowerCase()) ?? { name, values: [] };
    entry.values.push(raw[i + 1] ?? '');
    values.set(name.toLowerCase(), entry);
  }
  const headers = Object.create(null);
  headers.host = host;
  // Both as the library looks for them.
  headers.connection = 'Upgrade';
  headers.upgrade = 'websocket';
  for (const entry of values.values()) headers[entry.name] = entry.values.length === 1 ? entry.values[0] : entry.values;
  return headers;
}
