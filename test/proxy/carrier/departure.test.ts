// A client that leaves takes its upstream request along within 100 ms, at every stage: nobody pays for an answer that
// nobody reads.
import { connectRaw, createFakeBearer, eventually, onHead, startRawUpstream, token } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const post = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n';
const chunked = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const begun = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n';

const stages: [name: string, request: string | Buffer, answer: string | undefined, until: string][] = [
  ['waiting for the answer', get, undefined, ''],
  ['after an interim answer', get, 'HTTP/1.1 103 Early Hints\r\n\r\n', '103 Early'],
  ['after the head', get, begun, '\r\n\r\n'],
  ['within the body', get, `${begun}part`, 'part'],
  ['within a chunked body', get, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n', 'part'],
  ['within an answer without end', get, 'HTTP/1.1 200 OK\r\n\r\npart', 'part'],
  ['before its own body', post, undefined, ''],
  ['within its own body', `${post}part`, undefined, ''],
  ['within its own chunked body', `${chunked}4\r\npart\r\n`, undefined, ''],
  ['within its own body and the answer', `${post}part`, `${begun}part`, 'part'],
  ['after 60 KiB of its own body', post + 'x'.repeat(60 * 1024), undefined, ''],
  ['as HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', `${begun}part`, 'part'],
];

for (const way of ['FIN', 'RST'] as const) {
  onEachCarrier(`a client that leaves by ${way} closes the upstream request, at every stage`, async (t, carrier) => {
    for (const [name, request, answer, until] of stages) {
      let isClosed = false;
      let isBegun = false;
      const upstream = await startRawUpstream(t, (socket) => {
        if (request === post && carrier.differences.has('head-with-first-byte')) isBegun = true;
        onHead(socket, () => {
          isBegun = true;
          if (answer !== undefined) socket.write(answer);
        });
        socket.on('close', () => {
          isClosed = true;
        });
      });
      const proxy = await carrier.start(t, upstream.url);
      const client = await connectRaw(t, proxy.port);
      client.send(request);
      await eventually(`${name}: it began`, () => isBegun);
      if (until !== '') await client.until(until);
      await new Promise((resolve) => setTimeout(resolve, 10));
      t.notOk(isClosed, `${name}: it stays`);
      if (way === 'FIN') client.socket.destroy();
      else client.socket.resetAndDestroy();
      await eventually(`${name}: the upstream request is closed`, () => isClosed);
      await eventually(`${name}: nothing is at work`, () => proxy.inFlight() === 0);
      t.match(proxy.observer.ends, [{ aborted: true }], name);
    }
  });
}

onEachCarrier('a client that leaves while it waits for a token, or for a renewal, is forgotten', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno');
  const bearer = createFakeBearer();
  bearer.current = undefined;
  const proxy = await carrier.start(t, origin.url, { bearer });
  const waiting = await connectRaw(t, proxy.port);
  waiting.send(get);
  await eventually('it waits', () => bearer.waits.length === 1);
  waiting.socket.destroy();
  await eventually('the wait is called off', () => bearer.waits[0]?.signal.aborted === true);
  t.equal(origin.connections.length, 0);

  bearer.current = token(1);
  let renewal: AbortSignal | undefined;
  bearer.onRenewed = (_refused, signal) => {
    renewal = signal;
    return new Promise(() => undefined);
  };
  const renewing = await connectRaw(t, proxy.port);
  renewing.send(get);
  await eventually('a renewal runs', () => renewal !== undefined);
  renewing.socket.destroy();
  await eventually('it is not waited for any more', () => renewal?.aborted === true);
  t.equal(proxy.inFlight(), 0);
});

onEachCarrier(
  'a client that only ends its side has left: an end cannot be told from a departure',
  async (t, carrier) => {
    const origin = await startOrigin(t, () => undefined);
    const proxy = await carrier.start(t, origin.url);
    const client = await connectRaw(t, proxy.port);
    client.send(get);
    await eventually('it began', () => origin.requests.length === 1);
    client.socket.end();
    await eventually('the upstream request is closed', () => origin.connections[0]?.isClosed === true);
  },
);

onEachCarrier(
  'with more unread upload than is held, a departure shows when the upstream reads on (reset-of-unread-upload)',
  async (t, carrier) => {
    let upstreamSocket: { resume(): void } | undefined;
    let isClosed = false;
    const upstream = await startRawUpstream(t, (socket) => {
      upstreamSocket = socket;
      socket.pause();
      socket.on('close', () => {
        isClosed = true;
      });
    });
    const proxy = await carrier.start(t, upstream.url);
    const client = await connectRaw(t, proxy.port);
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n`);
    const chunk = Buffer.alloc(1024 * 1024);
    let isDrained = true;
    client.socket.on('drain', () => {
      isDrained = true;
    });
    let before = -1;
    while (isDrained || before !== client.socket.bytesWritten) {
      before = client.socket.bytesWritten;
      if (isDrained) isDrained = client.socket.write(chunk);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    client.socket.resetAndDestroy();
    if (carrier.differences.has('reset-of-unread-upload')) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      upstreamSocket?.resume();
    }
    await eventually('the upstream request is closed', () => isClosed);
    await eventually('nothing is at work', () => proxy.inFlight() === 0);
  },
);

onEachCarrier('a client that leaves while the connection is made sends nothing', async (t, carrier) => {
  let bytes = '';
  let connections = 0;
  // A TLS handshake that does not go on.
  const upstream = await startRawUpstream(t, (socket) => {
    connections += 1;
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.toString('latin1');
    });
  });
  const proxy = await carrier.start(t, upstream.url.replace('http:', 'https:'), {
    route: { timeouts: { connectMs: 60_000, headersMs: 0, idleMs: 0 } },
  });
  const client = await connectRaw(t, proxy.port);
  client.send(`${post}part`);
  await eventually('it connects', () => connections === 1);
  client.socket.resetAndDestroy();
  await eventually('nothing is at work', () => proxy.inFlight() === 0);
  t.match(proxy.observer.ends, [{ aborted: true, status: 0 }]);
  t.notMatch(bytes, /token-1|part/);
});
