// Beyond limits.inFlight: 503 at once with code and Retry-After, nothing is queued, and recovery needs nobody.
import { codeOf, connectRaw, createFakeBearer, eventually, statusOf, token } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';
import { startProxyProcess } from './_proxy-process.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

onEachCarrier(
  'requests beyond the limit are 503 overloaded at once, and served again when there is room',
  async (t, carrier) => {
    let isHeld = true;
    const origin = await startOrigin(t, () => (isHeld ? undefined : ok));
    const proxy = await carrier.start(t, origin.url, { limits: { inFlight: 3 } });
    const busy = await Promise.all([1, 2, 3].map(() => connectRaw(t, proxy.port)));
    for (const client of busy) client.send(get);
    await eventually('all places are taken', () => origin.requests.length === 3);
    const refused = await Promise.all(Array.from({ length: 50 }, () => connectRaw(t, proxy.port)));
    for (const client of refused) client.send(get);
    await Promise.all(refused.map(({ ended }) => ended));
    for (const client of refused) {
      const answer = client.received();
      if (statusOf(answer) !== 503 || codeOf(answer) !== 'overloaded' || !/^Retry-After: [1-9]\d*\r$/m.test(answer)) {
        t.fail(answer);
      }
    }
    t.equal(proxy.inFlight(), 3);
    t.equal(origin.requests.length, 3, 'nothing of them reached the upstream');
    isHeld = false;
    for (const { connection } of origin.requests) connection.socket.write(ok);
    for (const client of busy) await client.until(/ok$/);
    await eventually('there is room', () => proxy.inFlight() === 0);
    const again = await connectRaw(t, proxy.port);
    again.send(get);
    await again.until(/ok$/);
  },
);

onEachCarrier('a connection that was told 503 is kept, and serves later', async (t, carrier) => {
  const origin = await startOrigin(t, () => undefined);
  const proxy = await carrier.start(t, origin.url, { limits: { inFlight: 1 } });
  const busy = await connectRaw(t, proxy.port);
  busy.send(get);
  await eventually('the place is taken', () => origin.requests.length === 1);
  const client = await connectRaw(t, proxy.port);
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n');
  client.send(Buffer.alloc(500_000));
  await client.until('overloaded');
  busy.socket.destroy();
  await eventually('there is room', () => proxy.inFlight() === 0);
  client.send('GET /later HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually('it is carried', () => origin.requests.at(-1)?.line === 'GET /later HTTP/1.1');
});

onEachCarrier(
  'pipelined requests that wait are counted, too: beyond the limit 503 overloaded comes after the answers before it',
  async (t, carrier) => {
    let isHeld = true;
    const origin = await startOrigin(t, () => (isHeld ? undefined : ok));
    const proxy = await carrier.start(t, origin.url, { limits: { inFlight: 3 } });
    const keep = get.replace('Connection: close\r\n', '');
    const [first, second] = await Promise.all([1, 2].map(() => connectRaw(t, proxy.port)));
    if (first === undefined || second === undefined) return;
    first.send(keep.repeat(3));
    await eventually('its first request is at work', () => origin.requests.length === 1);
    second.send(keep.repeat(2000));
    await eventually('the next one, too', () => origin.requests.length === 2);
    isHeld = false;
    for (const { connection } of origin.requests) connection.socket.write(ok);
    t.equal(await second.ended, 'clean');
    t.same(second.received().match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 503']);
    t.equal(codeOf(second.received()), 'overloaded');
    await first.until(/(?:ok[\s\S]*){3}$/);
    await eventually('nothing is at work', () => proxy.inFlight() === 0);
    t.equal(origin.requests.length, 5);
    for (let count = 1; count <= 3; count += 1) {
      first.send(keep.repeat(3));
      await first.until(new RegExp(`(?:ok[\\s\\S]*){${3 + 3 * count}}$`));
    }
  },
);

onEachCarrier('those that wait for a token have their place, too', async (t, carrier) => {
  const origin = await startOrigin(t, () => ok);
  const bearer = createFakeBearer();
  bearer.current = undefined;
  const proxy = await carrier.start(t, origin.url, { bearer, limits: { inFlight: 2 } });
  const waiting = await Promise.all([1, 2].map(() => connectRaw(t, proxy.port)));
  for (const client of waiting) client.send(get);
  await eventually('they wait', () => bearer.waits.length === 2);
  const refused = await connectRaw(t, proxy.port);
  refused.send(get);
  await refused.ended;
  t.equal(codeOf(refused.received()), 'overloaded');
  for (const { resolve } of bearer.waits) resolve(token(2));
  for (const client of waiting) await client.until(/ok$/);
});

onEachCarrier(
  'what is refused costs no memory, however much of it is sent, and serving goes on',
  async (t, carrier) => {
    let isHeld = true;
    const origin = await startOrigin(t, () => (isHeld ? undefined : ok));
    const proxy = await startProxyProcess(t, carrier, origin.url, { inFlight: 1 });
    const busy = await connectRaw(t, proxy.port);
    busy.send(get);
    await eventually('the place is taken', () => origin.requests.length === 1);
    const size = 1024 * 1024;
    const head = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`;
    const crowd = async (): Promise<void> => {
      const clients = await Promise.all(Array.from({ length: 64 }, () => connectRaw(t, proxy.port)));
      for (const client of clients) {
        client.send(head);
        client.send(Buffer.alloc(size));
      }
      for (const client of clients) {
        t.equal(codeOf(await client.until(/\}$/)), 'overloaded');
        client.socket.destroy();
      }
    };
    // What the process takes once for having had connections at all is no matter of how much it is sent.
    await crowd();
    const before = await proxy.held();
    for (let round = 0; round < 3; round += 1) await crowd();
    // The last connections may still be on their way out.
    let grown = 0;
    await eventually('192 MiB were refused, and at most 16 are held', async () => {
      grown = ((await proxy.held()) - before) / size;
      return grown < 16;
    });
    t.comment(`${grown.toFixed(1)} MiB are held`);
    t.equal(origin.requests.length, 1, 'nothing of it was sent on');
    isHeld = false;
    busy.socket.destroy();
    const again = await connectRaw(t, proxy.port);
    await eventually('there is room', () => origin.connections[0]?.isClosed === true);
    again.send(get);
    await again.until(/ok$/);
  },
);
