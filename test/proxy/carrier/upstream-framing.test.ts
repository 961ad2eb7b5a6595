// Response splitting: an answer whose end is ambiguous would let one upstream answer stand in for the next client's.
// Such an answer is 502, its connection is never used again, and bytes after an answer reach nobody.
import { codeOf, connectRaw, exchangeRaw, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\n';
const next = 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nintrude';

const malformed: [name: string, answer: string][] = [
  ['CL and TE', `${ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['TE and CL', `${ok}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n`],
  ['two CLs that differ', `${ok}Content-Length: 3\r\nContent-Length: 2\r\n\r\nabc`],
  ['two CLs that agree', `${ok}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`],
  ['a list in CL', `${ok}Content-Length: 3, 3\r\n\r\nabc`],
  ['+ in CL', `${ok}Content-Length: +3\r\n\r\nabc`],
  ['hex in CL', `${ok}Content-Length: 0x3\r\n\r\nabc`],
  ['a CL beyond all numbers', `${ok}Content-Length: 99999999999999999999999\r\n\r\nabc`],
  ['gzip, chunked', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['an empty CL', `${ok}Content-Length:\r\n\r\n`],
  ['- in CL', `${ok}Content-Length: -1\r\n\r\n`],
  [
    'CL and TE in an interim answer',
    `HTTP/1.1 103 X\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n${ok}\r\n`,
  ],
  ['a bare LF for the empty line', `${ok}Content-Length: 0\r\n\n`],
  ['a name that is no token', `${ok}X(1): 1\r\nContent-Length: 0\r\n\r\n`],
  ['too many headers by far', `${ok}${'a: 1\r\n'.repeat(40_000)}\r\n`],
  ['gzip', `${ok}Transfer-Encoding: gzip\r\n\r\nabc`],
  ['identity', `${ok}Transfer-Encoding: identity\r\n\r\nabc`],
  ['chunked twice', `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['chunked, gzip', `${ok}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`],
  ['obs-fold', `${ok}X: 1\r\n 2\r\nContent-Length: 0\r\n\r\n`],
  ['space before a colon', `${ok}Content-Length : 0\r\n\r\n`],
  ['a header without a colon', `${ok}X\r\nContent-Length: 0\r\n\r\n`],
  ['NUL in a value', `${ok}X: \0\r\nContent-Length: 0\r\n\r\n`],
  ['a control byte in a value', `${ok}X: \x01\r\nContent-Length: 0\r\n\r\n`],
  ['a bare CR in a value', `${ok}X: a\rY: b\r\nContent-Length: 0\r\n\r\n`],
  ['a bare LF after a header', `${ok}X: a\nContent-Length: 0\r\n\r\n`],
  ['a bare LF after the status line', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['HTTP/3.0', 'HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['no HTTP', 'hello\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status below 100', 'HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of letters', 'HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n'],
  ['101 unasked', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ['101 unasked, with its headers', 'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'],
  ['a head beyond all measure', `${ok}X: ${'x'.repeat(200_000)}\r\n\r\n`],
];

onEachCarrier('an answer with an ambiguous head is 502 upstream_malformed, its connection ends', async (t, carrier) => {
  let answer = '';
  const origin = await startOrigin(t, () => answer + next);
  const proxy = await carrier.start(t, origin.url);
  for (const [name, bytes] of malformed) {
    answer = bytes;
    const before = origin.connections.length;
    const received = await exchangeRaw(t, proxy.port, get);
    t.equal(statusOf(received), 502, `${name}: ${received.split('\r\n')[0]}`);
    t.equal(codeOf(received), 'upstream_malformed', name);
    t.notMatch(received, /intrude/, name);
    t.equal(origin.connections.length, before + 1, `${name}: on a connection of its own, and not retried`);
  }
  answer = '';
  t.match(await exchangeRaw(t, proxy.port, get), /intrude$/, 'the next answer is fine');
  t.equal(origin.connections.length, malformed.length + 1);
  t.equal(proxy.inFlight(), 0);
});

onEachCarrier('bytes after an answer reach no other request, and end their connection', async (t, carrier) => {
  const answers: [name: string, answer: string][] = [
    ['a length', `${ok}Content-Length: 2\r\n\r\nok`],
    ['chunks', `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n'],
    ['no length', `${ok}Content-Length: 0\r\n\r\n`],
  ];
  for (const [name, answer] of answers) {
    for (const extra of [next, 'garbage', '\r\n\r\nintrude', '0\r\n\r\n']) {
      let count = 0;
      const origin = await startOrigin(t, () => {
        count += 1;
        return count === 1 ? answer + extra : `${ok}Content-Length: 4\r\n\r\nfine`;
      });
      const proxy = await carrier.start(t, origin.url);
      const client = await connectRaw(t, proxy.port);
      client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n');
      await client.until(/\r\n\r\n/);
      client.send('GET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
      await client.until(/fine$/);
      t.notMatch(client.received(), /intrude|garbage/, `${name} ${JSON.stringify(extra)}`);
      t.equal(client.received().match(/HTTP\/1\.1 \d/g)?.length, 2);
      t.equal(origin.connections.length, 2, `${name} ${JSON.stringify(extra)}: another connection`);
      client.socket.destroy();
    }
  }
});

onEachCarrier('bytes after an answer do not reach the request that was pipelined behind it', async (t, carrier) => {
  const origin = await startOrigin(t, ({ line }) =>
    line.includes('/1 ') ? `${ok}Content-Length: 2\r\n\r\nok${next}` : `${ok}Content-Length: 4\r\n\r\nfine`,
  );
  const proxy = await carrier.start(t, origin.url);
  const client = await connectRaw(t, proxy.port);
  client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until(/fine$/);
  t.notMatch(client.received(), /intrude/);
  t.equal(origin.connections.length, 2);
});

onEachCarrier('bytes on an idle connection are nobody’s answer', async (t, carrier) => {
  const origin = await startOrigin(t, () => `${ok}Content-Length: 4\r\n\r\nfine`);
  const proxy = await carrier.start(t, origin.url);
  await exchangeRaw(t, proxy.port, get);
  origin.connections[0]?.socket.write(next);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.match(await exchangeRaw(t, proxy.port, get), /fine$/);
  t.equal(origin.connections.length, 2);
});

onEachCarrier('chunk garbage within an answer: the client sees an abort, the connection ends', async (t, carrier) => {
  for (const rest of ['zz\r\nabc\r\n0\r\n\r\n', '-3\r\nabc\r\n0\r\n\r\n', '3\r\nabcdefg\r\n', '0\r\nX : 1\r\n\r\n']) {
    const origin = await startOrigin(t, () => `${ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n${rest}`);
    const proxy = await carrier.start(t, origin.url);
    const answer = await exchangeRaw(t, proxy.port, get);
    t.notMatch(answer, /\r\n0\r\n/, 'no clean end');
    await exchangeRaw(t, proxy.port, get);
    t.equal(origin.connections.length, 2);
    t.match(proxy.observer.ends, [{ error: { code: /^upstream_/ } }, { error: { code: /^upstream_/ } }]);
  }
});

onEachCarrier('a flood of trailers within an answer: the client sees an abort', async (t, carrier) => {
  const origin = await startOrigin(
    t,
    () => `${ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n${'x: 1\r\n'.repeat(100_000)}\r\n`,
  );
  const proxy = await carrier.start(t, origin.url);
  t.notMatch(await exchangeRaw(t, proxy.port, get), /\r\n0\r\n|x: 1/);
  t.match(proxy.observer.ends, [{ aborted: true, error: { code: 'upstream_malformed' } }]);
});

onEachCarrier('control bytes in a reason reach nobody', async (t, carrier) => {
  for (const reason of ['O\0K', 'O\x01K', 'O\x7fK']) {
    const origin = await startOrigin(t, () => `HTTP/1.1 200 ${reason}\r\nContent-Length: 0\r\n\r\n`);
    const proxy = await carrier.start(t, origin.url);
    t.match(await exchangeRaw(t, proxy.port, get), /^HTTP\/1\.1 (200 |502 Bad Gateway)\r\n/);
  }
});

onEachCarrier('chunked on HTTP/1.0 (answer-version-unseen)', async (t, carrier) => {
  const origin = await startOrigin(
    t,
    () => 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  );
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(t, proxy.port, get);
  if (carrier.differences.has('answer-version-unseen')) {
    t.match(answer, /^HTTP\/1\.1 200 [\s\S]*\r\nok\r\n/, 'it is read as chunked');
    await exchangeRaw(t, proxy.port, get);
    t.equal(origin.connections.length, 2, 'and its connection is not used again');
  } else {
    t.equal(codeOf(answer), 'upstream_malformed');
  }
});

onEachCarrier('another protocol or version in a status line (answer-version-unseen)', async (t, carrier) => {
  for (const version of ['HTTP/0.9', 'HTTP/2.0', 'ICE/1.0', 'RTSP/1.0']) {
    const origin = await startOrigin(t, () => `${version} 200 OK\r\nContent-Length: 2\r\n\r\nok`);
    const proxy = await carrier.start(t, origin.url);
    const answer = await exchangeRaw(t, proxy.port, get);
    if (carrier.differences.has('answer-version-unseen')) t.match(answer, /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nok$/);
    else t.equal(codeOf(answer), 'upstream_malformed');
  }
});
