// Pipelined requests (RFC 9112 §9.3.2): answered in order, and each begins when the one before it has been answered, as
// a later one may depend on it.
import { codeOf, connectRaw, eventually } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

onEachCarrier('a pipelined request begins when the one before it has been answered', async (t, carrier) => {
  const origin = await startOrigin(t, () => undefined);
  const proxy = await carrier.start(t, origin.url);
  const client = await connectRaw(t, proxy.port);
  client.send(
    `PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc${get('/2')}POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n${get('/4')}`,
  );
  for (let count = 1; count <= 4; count += 1) {
    await eventually(`request ${count} came`, () => origin.requests.length === count);
    await new Promise((resolve) => setTimeout(resolve, 20));
    t.equal(origin.requests.length, count, 'and no other');
    t.equal(proxy.inFlight(), 1);
    origin.requests.at(-1)?.connection.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n</${count}`);
    await client.until(`</${count}`);
  }
  t.same(client.received().match(/<\/\d/g), ['</1', '</2', '</3', '</4']);
});

onEachCarrier('thousands of pipelined requests are answered in order, one at a time', async (t, carrier) => {
  let most = 0;
  const origin = await startOrigin(t, ({ line }) => {
    most = Math.max(most, proxy.inFlight());
    const path = line.split(' ')[1] ?? '';
    return `HTTP/1.1 200 OK\r\nContent-Length: ${path.length + 1}\r\n\r\n<${path}`;
  });
  const proxy = await carrier.start(t, origin.url);
  const client = await connectRaw(t, proxy.port);
  let requests = '';
  for (let i = 1; i <= 2000; i += 1) requests += get(`/${i}`);
  client.send(requests);
  await client.until(/<\/2000$/);
  const seen = client.received().match(/<\/\d+/g) ?? [];
  t.same(
    seen,
    Array.from({ length: 2000 }, (_, i) => `</${i + 1}`),
  );
  t.equal(most, 1);
  client.send(get('/again'));
  await client.until('</again');
});

onEachCarrier('what follows a request and is none is told after its answer', async (t, carrier) => {
  const origin = await startOrigin(t, () => undefined);
  const proxy = await carrier.start(t, origin.url);
  const client = await connectRaw(t, proxy.port);
  client.send(`${get('/1')}${get('/2')}garbage\r\n\r\n`);
  for (let count = 1; count <= 2; count += 1) {
    await eventually(`request ${count} came`, () => origin.requests.length === count);
    origin.requests.at(-1)?.connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  }
  t.equal(await client.ended, 'clean');
  t.same(client.received().match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 400']);
  t.equal(codeOf(client.received()), 'request_malformed');
  t.equal(origin.requests.length, 2);
});

onEachCarrier('what follows a request with Connection: close is not read', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  const proxy = await carrier.start(t, origin.url);
  for (const rest of [get('/2'), 'garbage']) {
    const client = await connectRaw(t, proxy.port);
    client.send(`GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n${rest}`);
    await client.ended;
    t.match(client.received(), /^HTTP\/1\.1 200 [\s\S]*ok$/);
  }
  t.equal(origin.requests.length, 2);
});

onEachCarrier(
  'a refused request that could be read in two ways ends the pipeline after the answers before it',
  async (t, carrier) => {
    const origin = await startOrigin(t, () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    const proxy = await carrier.start(t, origin.url);
    const client = await connectRaw(t, proxy.port);
    client.send(
      `${get('/1')}POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${get('/3')}`,
    );
    await client.ended;
    t.same(client.received().match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 501']);
    t.equal(origin.requests.length, 1);
  },
);

onEachCarrier(
  'behind more pipelined requests than are read, a departure shows when they have been answered (reset-of-unread-upload)',
  async (t, carrier) => {
    let isHeld = true;
    const origin = await startOrigin(t, () => (isHeld ? undefined : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
    const proxy = await carrier.start(t, origin.url);
    const client = await connectRaw(t, proxy.port);
    client.send(get('/').repeat(100));
    await eventually('the first began', () => origin.requests.length === 1);
    client.socket.resetAndDestroy();
    if (carrier.differences.has('reset-of-unread-upload')) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      isHeld = false;
      origin.connections[0]?.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
    await eventually('nothing is at work', () => proxy.inFlight() === 0);
    t.ok(origin.requests.length < 100, `${origin.requests.length} of 100 requests were sent for nobody`);
  },
);

onEachCarrier('a client that leaves takes its waiting requests along', async (t, carrier) => {
  const origin = await startOrigin(t, () => undefined);
  const proxy = await carrier.start(t, origin.url);
  for (const rest of ['', 'garbage']) {
    const before = origin.requests.length;
    const client = await connectRaw(t, proxy.port);
    client.send(get('/1') + get('/2') + rest);
    await eventually('the first began', () => origin.requests.length === before + 1);
    client.socket.end();
    await eventually('its upstream request is closed', () => origin.connections.at(-1)?.isClosed === true);
    await eventually('nothing is at work', () => proxy.inFlight() === 0);
    t.equal(origin.requests.length, before + 1);
  }
});
