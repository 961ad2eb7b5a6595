// An answer of ours after which a connection ends reaches a client that is still sending: a socket that is closed with
// bytes unread would send a reset, which takes the answer back.
import { once } from 'node:events';
import { connect } from 'node:net';
import { codeOf, eventually, startRawUpstream, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';

const much = 'x'.repeat(4 * 1024 * 1024);
const handshake =
  'GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

const cases: readonly (readonly [title: string, bytes: string, status: number, code: string | undefined])[] = [
  ['a head that is too large', `GET / HTTP/1.1\r\nHost: a\r\nA: ${much}`, 431, 'request_headers_too_large'],
  ['bytes that are no HTTP', `hello\r\n\r\n${much}`, 400, 'request_malformed'],
  ['CONNECT', `CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n${much}`, 405, 'request_method_refused'],
  ['a refused handshake', `${handshake}Host: b\r\n\r\n${much}`, 400, 'request_malformed'],
  ['a handshake that the upstream refuses', `${handshake}\r\n${much}`, 403, undefined],
];

for (const [title, bytes, status, code] of cases) {
  onEachCarrier(`${title} is answered although the client goes on sending`, async (t, carrier) => {
    const upstream = await startRawUpstream(t, (socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno'));
    });
    const proxy = await carrier.start(t, upstream.url);
    for (let round = 0; round < 5; round += 1) {
      const socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
      t.teardown(() => socket.destroy());
      let failure: unknown;
      socket.on('error', (thrown) => {
        failure = thrown;
      });
      // It reads nothing before everything is sent, as many clients do.
      await new Promise<void>((resolve) => socket.write(bytes, 'latin1', () => resolve()));
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
      });
      await once(socket, 'end').catch(() => undefined);
      socket.end();
      t.equal(statusOf(text), status, String(failure));
      t.equal(codeOf(text), code);
      t.match(text, /\r\n\r\n(\{.*\}|no)$/, 'it is whole');
    }
    await eventually('nothing is at work', () => proxy.inFlight() === 0);
  });
}
