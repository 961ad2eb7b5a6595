// Answers that have no body whatever their headers say (RFC 9112 §6.3).
import { connectRaw, eventually, exchangeRaw } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

onEachCarrier(
  'HEAD, 204 and 304 have no body, keep their headers and leave the connection usable',
  async (t, carrier) => {
    const cases: [method: string, answer: string, head: RegExp][] = [
      ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 1\r\n\r\n', /^Content-Length: 5\r\nX: 1\r$/m],
      ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: 2\r\n\r\n', /^X: 2\r$/m],
      ['HEAD', 'HTTP/1.1 404 Not Found\r\nX: 3\r\n\r\n', /^X: 3\r$/m],
      ['GET', 'HTTP/1.1 204 No Content\r\nX: 4\r\n\r\n', /^X: 4\r$/m],
      ['PUT', 'HTTP/1.1 204 No Content\r\nX: 5\r\n\r\n', /^X: 5\r$/m],
      ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "1"\r\nX: 6\r\n\r\n', /^Content-Length: 5\r$/m],
      ['GET', 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\nX: 7\r\n\r\n', /^X: 7\r$/m],
      ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: 8\r\n\r\n', /^Content-Length: 0\r$/m],
    ];
    let index = 0;
    const origin = await startOrigin(t, () => cases[index]?.[1]);
    const proxy = await carrier.start(t, origin.url);
    const client = await connectRaw(t, proxy.port);
    for (index = 0; index < cases.length; index += 1) {
      const [method = '', answer, head] = cases[index] ?? [];
      const before = client.received().length;
      client.send(`${method} / HTTP/1.1\r\nHost: a\r\n${method === 'PUT' ? 'Content-Length: 0\r\n' : ''}\r\n`);
      await client.until(new RegExp(`^X: ${index + 1}\\r\\n[\\s\\S]*\\r\\n\\r\\n`, 'm'));
      const received = client.received().slice(before);
      t.match(received, head, String(answer));
      t.match(received, /^HTTP\/1\.1 \d{3} [^\r]*\r\n([^\r\n]+\r\n)*\r\n$/, 'and nothing after its head');
      t.notMatch(received, /transfer-encoding/i);
    }
  },
);

onEachCarrier(
  'a length that 1xx and 204 must not have does not arrive (RFC 9110 §8.6): a client would wait for a body',
  async (t, carrier) => {
    const interim = 'HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nX: 1\r\n\r\n';
    const origin = await startOrigin(
      t,
      () => `${interim}HTTP/1.1 204 No Content\r\nCONTENT-LENGTH: 5\r\nTransfer_Encoding: x\r\nX: 2\r\n\r\n`,
    );
    const proxy = await carrier.start(t, origin.url);
    t.equal(
      await exchangeRaw(t, proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
      'HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\nHTTP/1.1 204 No Content\r\nTransfer_Encoding: x\r\nX: 2\r\nConnection: close\r\n\r\n',
    );
  },
);

onEachCarrier('a body where none may be reaches nobody, and its connection is not used again', async (t, carrier) => {
  const body = 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nintrude';
  for (const [method, head] of [
    ['HEAD', `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n'],
    ['GET', `HTTP/1.1 204 No Content\r\nContent-Length: ${body.length}\r\n\r\n`],
    ['GET', `HTTP/1.1 304 Not Modified\r\nContent-Length: ${body.length}\r\n\r\n`],
  ] as const) {
    for (const isGlued of [true, false]) {
      const what = `${method} ${head} ${isGlued ? 'glued' : 'later'}`;
      const origin = await startOrigin(t, ({ line, connection }) => {
        if (line.includes('/next')) return 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine';
        if (isGlued) return head + body;
        connection.socket.write(head, () => setTimeout(() => connection.socket.write(body), 10));
        return undefined;
      });
      const proxy = await carrier.start(t, origin.url);
      const client = await connectRaw(t, proxy.port);
      client.send(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
      await client.until('\r\n\r\n');
      if (isGlued === false) await eventually(`${what}: it closed`, () => origin.connections[0]?.isClosed === true);
      client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n');
      await client.until(/fine$/);
      t.notMatch(client.received(), /intrude/, what);
      t.equal(client.received().match(/HTTP\/1\.1 \d/g)?.length, 2, what);
      t.equal(origin.connections.length, 2, what);
      client.socket.destroy();
    }
  }
});

onEachCarrier('our own errors have no body on HEAD, and their length', async (t, carrier) => {
  const origin = await startOrigin(t, () => undefined);
  const proxy = await carrier.start(t, origin.url);
  const client = await connectRaw(t, proxy.port);
  client.send('HEAD /../x HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.ended;
  t.match(client.received(), /^HTTP\/1\.1 400 [\s\S]*Content-Length: \d+\r\n[\s\S]*\r\n\r\n$/);
});
