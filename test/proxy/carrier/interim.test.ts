// Interim answers and Expect (RFC 9110 §10.1.1, §15.2).
import { codeOf, connectRaw, eventually, exchangeRaw, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startForbidden, startOrigin } from './_origin.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const put = 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

onEachCarrier('103 and 102 are passed on as they came, as often as they came', async (t, carrier) => {
  const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nlink: </\xe9>\r\n\r\n';
  const origin = await startOrigin(t, () => `${hints}HTTP/1.1 102 Processing\r\n\r\n${hints}${ok}`);
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(t, proxy.port, get);
  t.equal(
    answer,
    `${hints}HTTP/1.1 102 Processing\r\n\r\n${hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok`,
  );
});

onEachCarrier(
  'an interim answer arrives before the final one is there; its hop-by-hop headers do not',
  async (t, carrier) => {
    const origin = await startOrigin(
      t,
      () => 'HTTP/1.1 103 Early Hints\r\nConnection: X-A\r\nX-A: 1\r\nSidebearer-Error: x\r\nX-B: 2\r\n\r\n',
    );
    const proxy = await carrier.start(t, origin.url);
    const client = await connectRaw(t, proxy.port);
    client.send(get);
    t.equal(await client.until('\r\n\r\n'), 'HTTP/1.1 103 Early Hints\r\nX-B: 2\r\n\r\n');
    origin.connections[0]?.socket.write(ok);
    await client.until(/ok$/);
  },
);

onEachCarrier(
  'the reason of an interim answer, and interim answers unheard of (interim-reason)',
  async (t, carrier) => {
    const interims = 'HTTP/1.1 103 Mine\r\nA: 1\r\n\r\nHTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 150 \r\nB: 2\r\n\r\n';
    const origin = await startOrigin(t, () => interims + ok);
    const proxy = await carrier.start(t, origin.url);
    const answer = await exchangeRaw(t, proxy.port, get);
    const expected = carrier.differences.has('interim-reason')
      ? interims.replace('Mine', 'Early Hints').replace('Odd', 'unknown').replace('150 ', '150 unknown')
      : interims;
    t.equal(answer.slice(0, answer.indexOf('HTTP/1.1 200')), expected);
    t.match(answer, /ok$/);
  },
);

onEachCarrier('HTTP/1.0 clients get no interim answer', async (t, carrier) => {
  const origin = await startOrigin(t, () => `HTTP/1.1 103 Early Hints\r\n\r\n${ok}`);
  const proxy = await carrier.start(t, origin.url);
  t.match(await exchangeRaw(t, proxy.port, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 200 OK\r\n/);
});

onEachCarrier(
  'a 100 that nobody asked for is passed over, or is 502 upstream_malformed (unasked-100)',
  async (t, carrier) => {
    const origin = await startOrigin(t, () => `HTTP/1.1 100 Continue\r\n\r\n${ok}`);
    const proxy = await carrier.start(t, origin.url);
    const answer = await exchangeRaw(t, proxy.port, get);
    if (carrier.differences.has('unasked-100')) {
      t.equal(statusOf(answer), 502);
      t.equal(codeOf(answer), 'upstream_malformed');
      t.equal(origin.connections.length, 1, 'and is not repeated');
    } else {
      t.match(answer, /^HTTP\/1\.1 200 [\s\S]*ok$/);
    }
  },
);

onEachCarrier(
  'Expect: 100-continue is answered once, and the body follows (expect-answered-here)',
  async (t, carrier) => {
    const origin = await startOrigin(t, () => ok);
    const proxy = await carrier.start(t, origin.url);
    const client = await connectRaw(t, proxy.port);
    client.send(put);
    t.equal(await client.until('\r\n\r\n'), 'HTTP/1.1 100 Continue\r\n\r\n');
    t.equal(origin.requests.length, 0);
    client.send('body');
    await client.until(/ok$/);
    t.equal(client.received().match(/100 Continue/g)?.length, 1);
    t.equal(origin.requests[0]?.body, 'body');
    const expects = origin.requests[0]?.headers.some((line) => /^expect: 100-continue$/i.test(line));
    t.equal(expects, !carrier.differences.has('expect-answered-here'));
  },
);

onEachCarrier(
  'a refusal comes in place of the 100, and the connection ends: a body may follow or not',
  async (t, carrier) => {
    const origin = await startForbidden(t);
    const proxy = await carrier.start(t, origin.url);
    for (const [request, status] of [
      [put.replace('PUT / ', 'PUT /../x '), 400],
      [put.replace('100-continue', 'miracle'), 417],
      [put.replace('100-continue', '100-continue, miracle'), 417],
    ] as const) {
      const answer = await exchangeRaw(t, proxy.port, request);
      t.equal(statusOf(answer), status);
      t.match(answer, /^Connection: close\r$/m);
      t.notMatch(answer, /100 Continue/);
    }
    t.equal(origin.connections.length, 0);
  },
);

onEachCarrier('a client that does not wait for its 100 is served all the same', async (t, carrier) => {
  const origin = await startOrigin(t, () => ok);
  const proxy = await carrier.start(t, origin.url);
  const client = await connectRaw(t, proxy.port);
  client.send(`${put}body`);
  await client.until(/ok$/);
  t.equal(origin.requests[0]?.body, 'body');
});

onEachCarrier('Expect on HTTP/1.0 means nothing', async (t, carrier) => {
  const origin = await startOrigin(t, () => ok);
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(
    t,
    proxy.port,
    'PUT / HTTP/1.0\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody',
  );
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
});

onEachCarrier('a flood of interim answers to a client that reads nothing costs no memory', async (t, carrier) => {
  const block = Buffer.from(`HTTP/1.1 103 Early Hints\r\nLink: <${'x'.repeat(4000)}>\r\n\r\n`.repeat(16));
  let isSent = false;
  const origin = await startOrigin(t, ({ connection }) => {
    let left = 512;
    const more = (): void => {
      while (left > 0) {
        left -= 1;
        if (!connection.socket.write(block)) return void connection.socket.once('drain', more);
      }
      connection.socket.write(ok, () => {
        isSent = true;
      });
    };
    more();
    return undefined;
  });
  const proxy = await carrier.start(t, origin.url);
  const client = await connectRaw(t, proxy.port);
  client.socket.pause();
  client.send(get);
  await eventually('all of it was sent', () => isSent);
  client.socket.resume();
  await client.ended;
  t.match(client.received(), /ok$/);
  t.ok(client.received().length < 12 * 1024 * 1024, `${client.received().length} of ${512 * block.length} bytes`);
});
