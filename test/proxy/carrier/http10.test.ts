// HTTP/1.0 clients and servers, and answers that only the connection's end delimits (RFC 9112 §6.3, §9.3).
import { connectRaw, exchangeRaw, onHead, startRawUpstream } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

onEachCarrier('an HTTP/1.0 client gets no chunks, and the end of the connection as the end', async (t, carrier) => {
  const origin = await startOrigin(
    t,
    () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nay!\r\n0\r\n\r\n',
  );
  const proxy = await carrier.start(t, origin.url);
  for (const head of ['', 'Host: a\r\n', 'Connection: keep-alive\r\n']) {
    const client = await connectRaw(t, proxy.port);
    client.send(`GET / HTTP/1.0\r\n${head}\r\n`);
    t.equal(await client.ended, 'clean');
    t.match(client.received(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nokay!$/);
    t.notMatch(client.received(), /transfer-encoding|keep-alive/i);
  }
  t.match(origin.requests[0]?.line, 'GET / HTTP/1.1');
});

onEachCarrier('an HTTP/1.0 client that asks keeps its connection where the length is known', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  const proxy = await carrier.start(t, origin.url);
  const client = await connectRaw(t, proxy.port);
  for (let count = 1; count <= 2; count += 1) {
    client.send('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
    await client.until(new RegExp(`^(?:[\\s\\S]*\\r\\n\\r\\nok){${count}}$`));
  }
  t.match(client.received(), /^connection: keep-alive\r$/im);
  client.send('GET / HTTP/1.0\r\n\r\n');
  t.equal(await client.ended, 'clean');
  t.equal(client.received().match(/\r\n\r\nok/g)?.length, 3);
});

onEachCarrier('an HTTP/1.0 server: its answer ends with its connection, or with its length', async (t, carrier) => {
  for (const [head, isKept] of [
    ['', false],
    ['Content-Length: 2\r\n', false],
    ['Content-Length: 2\r\nConnection: keep-alive\r\n', true],
  ] as const) {
    const origin = await startOrigin(t, ({ connection }) => {
      connection.socket.write(`HTTP/1.0 200 OK\r\n${head}\r\nok`);
      if (!isKept) connection.socket.end();
      return undefined;
    });
    const proxy = await carrier.start(t, origin.url);
    for (let count = 0; count < 2; count += 1) {
      t.match(await exchangeRaw(t, proxy.port, get), /\r\n\r\n(ok|2\r\nok\r\n0\r\n\r\n)$/);
    }
    t.equal(origin.connections.length, isKept ? 1 : 2);
  }
});

onEachCarrier(
  'an answer delimited by the end of its connection is whole after a FIN, cut after a reset',
  async (t, carrier) => {
    for (const end of ['FIN', 'RST'] as const) {
      for (const version of ['1.0', '1.1']) {
        const upstream = await startRawUpstream(t, (socket) =>
          onHead(socket, () => {
            socket.write('HTTP/1.1 200 OK\r\n\r\npart');
            setTimeout(() => (end === 'FIN' ? socket.end('ial') : socket.resetAndDestroy()), 30);
          }),
        );
        const proxy = await carrier.start(t, upstream.url);
        const client = await connectRaw(t, proxy.port);
        client.send(get.replace('1.1', version));
        const outcome = await client.ended;
        if (end === 'FIN') {
          t.equal(outcome, 'clean');
          t.match(client.received(), version === '1.0' ? /\r\n\r\npartial$/ : /\r\n3\r\nial\r\n0\r\n\r\n$/);
        } else if (version === '1.0') {
          t.equal(outcome, 'reset');
        } else {
          t.notMatch(client.received(), /\r\n0\r\n\r\n$/, 'no clean end');
        }
        t.match(proxy.observer.ends, [{ status: 200, aborted: end === 'RST' }]);
      }
    }
  },
);
