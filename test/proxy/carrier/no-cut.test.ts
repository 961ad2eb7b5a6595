// No default limit cuts a long stream. Every clock that runs by default (heads, connecting, idle connections) is
// shortened here to a fraction of the silences, so that one which ran during a request would be seen.
import { configSchema } from '../../../src/config/schema.ts';
import { connectRaw, eventually, onHead, type ProxyUnderTest, type Scope, startRawUpstream } from '../_proxy.ts';
import { type Carrier, onEachCarrier } from './_carriers.ts';

const limits = { headerTimeoutMs: 60, keepAliveMs: 60 };
const silence = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1500));

const start = (carrier: Carrier, scope: Scope, url: string): Promise<ProxyUnderTest> =>
  carrier.start(scope, url, { limits, route: { timeouts: { connectMs: 60, headersMs: 0, idleMs: 0 } } });

onEachCarrier('the configuration has no time for an answer by default', async (t) => {
  const route = { upstream: 'http://127.0.0.1:1', credential: 'a' };
  const [parsed] = configSchema.shape.routes.parse([route]);
  t.equal(parsed?.timeouts.headers, 0);
  t.equal(parsed?.timeouts.idle, 0);
});

onEachCarrier(
  'a first byte after ten minutes, events an hour apart, an upload of hours, a slow trailer',
  async (t, carrier) => {
    const streams: Promise<void>[] = [
      (async () => {
        const upstream = await startRawUpstream(t, (socket) =>
          onHead(socket, async () => {
            await silence();
            socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate');
          }),
        );
        const client = await connectRaw(t, (await start(carrier, t, upstream.url)).port);
        client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        await client.until(/late$/);
      })(),
      (async () => {
        const upstream = await startRawUpstream(t, (socket) =>
          onHead(socket, async () => {
            socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
            socket.write('9\r\ndata: 1\n\n\r\n');
            await silence();
            socket.write('9\r\ndata: 2\n\n\r\n0\r\n');
            await silence();
            socket.write('X-Late: 1\r\n\r\n');
          }),
        );
        const client = await connectRaw(t, (await start(carrier, t, upstream.url)).port);
        client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        await client.until('data: 1');
        await client.until('data: 2');
        await client.until(/\r\n0\r\nX-Late: 1\r\n\r\n$/);
      })(),
      (async () => {
        const upstream = await startRawUpstream(t, (socket) => {
          socket.on('data', (chunk) => {
            if (chunk.toString().endsWith('d')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
          });
        });
        const client = await connectRaw(t, (await start(carrier, t, upstream.url)).port);
        client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n');
        await silence();
        client.send('an');
        await silence();
        client.send('d');
        await client.until(/ok$/);
      })(),
      (async () => {
        const upstream = await startRawUpstream(t, (socket) => void socket.on('data', () => undefined));
        const proxy = await start(carrier, t, upstream.url);
        const waiting = await connectRaw(t, proxy.port);
        waiting.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        await eventually('it is at work', () => proxy.inFlight() === 1);
        await silence();
        await silence();
        t.equal(proxy.inFlight(), 1, 'an answer may never come');
      })(),
    ];
    await Promise.all(streams);
  },
);
