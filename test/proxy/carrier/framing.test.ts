// Request smuggling: a request that two parties could delimit in two ways lets one client put words into the next
// one's mouth. Everything ambiguous is refused before an upstream byte (RFC 9112 §2.2, §5, §6.3, §11.2).
import { codeOf, connectRaw, eventually, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { dataOf, startForbidden, startOrigin } from './_origin.ts';

const post = 'POST / HTTP/1.1\r\nHost: a\r\n';
const chunked = `${post}Transfer-Encoding: chunked\r\n`;
const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

const ambiguous: [name: string, request: string][] = [
  ['CL and TE', `${post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['TE and CL', `${chunked}Content-Length: 3\r\n\r\n0\r\n\r\n`],
  ['CL and TE in other spellings', `${post}content-LENGTH: 3\r\ntransfer-ENCODING: Chunked\r\n\r\n0\r\n\r\n`],
  ['two CLs that differ', `${post}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`],
  ['two CLs that agree', `${post}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`],
  ['a list in CL', `${post}Content-Length: 3, 3\r\n\r\nabc`],
  ['+ in CL', `${post}Content-Length: +3\r\n\r\nabc`],
  ['- in CL', `${post}Content-Length: -3\r\n\r\nabc`],
  ['hex in CL', `${post}Content-Length: 0x3\r\n\r\nabc`],
  ['a fraction in CL', `${post}Content-Length: 3.0\r\n\r\nabc`],
  ['an exponent in CL', `${post}Content-Length: 3e0\r\n\r\nabc`],
  ['space within CL', `${post}Content-Length: 1 3\r\n\r\nabc`],
  ['an empty CL', `${post}Content-Length:\r\n\r\n`],
  ['a CL beyond all numbers', `${post}Content-Length: 99999999999999999999999\r\n\r\nabc`],
  ['chunked, gzip', `${post}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`],
  ['chunked, gzip, chunked', `${post}Transfer-Encoding: chunked, gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['nothing, chunked', `${post}Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n`],
  ['no token, chunked', `${post}Transfer-Encoding: (), chunked\r\n\r\n0\r\n\r\n`],
  [
    'a coding, then chunked in a header of its own',
    `${post}Transfer-Encoding: gzip\r\n${chunked.slice(post.length)}\r\n0\r\n\r\n`,
  ],
  ['CL next to an unknown coding', `${post}Content-Length: 3\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['an unknown coding on HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['chunked, chunked', `${post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked twice', `${chunked}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['chunked, then identity', `${chunked}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n`],
  ['identity', `${post}Transfer-Encoding: identity\r\n\r\n`],
  ['an unknown coding', `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['a quoted coding', `${post}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`],
  ['a coding with a parameter', `${post}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n`],
  ['a vertical tab at a coding', `${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`],
  ['an empty coding', `${post}Transfer-Encoding:\r\n\r\n0\r\n\r\n`],
  ['TE on HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['obs-fold', 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n'],
  ['obs-fold in TE', `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
  ['a first header that begins with space', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n'],
  ['space before a colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
  ['tab before a colon', `${post}Content-Length\t: 3\r\n\r\nabc`],
  ['a header without a colon', 'GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n'],
  ['a header without a name', 'GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n'],
  ['a name that is no token', 'GET / HTTP/1.1\r\nHost: a\r\nX(1): 1\r\n\r\n'],
  ['NUL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n'],
  ['NUL in a name', 'GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n'],
  ['NUL in a path', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a control byte in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n'],
  ['DEL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n'],
  ['a bare CR in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n'],
  ['a bare CR before CRLF', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n'],
  ['a bare LF after the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n'],
  ['a bare LF after a header', 'GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n'],
  ['bare LFs at the end', 'GET / HTTP/1.1\r\nHost: a\n\n'],
  ['an LF for the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n'],
  ['a space at the end of the request line', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n'],
  ['a tab in the request line', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n\r\n'],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n'],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n'],
  ['HTTP/1.10', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n'],
  ['http/1.1 in lower case', 'GET / http/1.1\r\nHost: a\r\n\r\n'],
  ['a method that is no token', 'G(T / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['no method', ' / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['no HTTP at all', 'hello\r\n\r\n'],
  ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'],
  ['HTTP/2 settings without knowledge', 'PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n'],
];

onEachCarrier('an ambiguous head is 400 before an upstream byte, and nothing after it is read', async (t, carrier) => {
  const origin = await startForbidden(t);
  const proxy = await carrier.start(t, origin.url);
  for (const [name, request] of ambiguous) {
    const client = await connectRaw(t, proxy.port);
    client.send(request + smuggled);
    await client.ended;
    const answer = client.received();
    t.equal(statusOf(answer), 400, `${name}: ${answer.slice(0, 200)}`);
    t.equal(codeOf(answer), 'request_malformed', name);
    t.equal(answer.match(/HTTP\/1\.1 \d/g)?.length, 1, `${name}: one answer`);
    t.equal(origin.connections.length, 0, `${name}: no upstream connection`);
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(origin.connections.length, 0);
  t.equal(proxy.inFlight(), 0);
});

onEachCarrier(
  'an unknown transfer coding before chunked is 501 request_coding_unknown, and nothing after it is read',
  async (t, carrier) => {
    const origin = await startForbidden(t);
    const proxy = await carrier.start(t, origin.url);
    for (const coding of [
      'gzip, chunked',
      'GZIP ,\tChunked',
      'identity, chunked',
      'xchunked, chunked',
      'a, b,chunked',
    ]) {
      const client = await connectRaw(t, proxy.port);
      client.send(`${post}Transfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n${smuggled}`);
      await client.ended;
      t.equal(statusOf(client.received()), 501, coding);
      t.equal(codeOf(client.received()), 'request_coding_unknown', coding);
      t.equal(client.received().match(/HTTP\/1\.1 \d/g)?.length, 1, `${coding}: one answer`);
    }
    t.equal(origin.connections.length, 0);
  },
);

onEachCarrier('chunk garbage ends the upstream request before its end and answers 400', async (t, carrier) => {
  const cases: [name: string, rest: string][] = [
    ['no hex', 'zz\r\nabc\r\n0\r\n\r\n'],
    ['a sign', '+3\r\nabc\r\n0\r\n\r\n'],
    ['0x', '0x3\r\nabc\r\n0\r\n\r\n'],
    ['space before the size', ' 3\r\nabc\r\n0\r\n\r\n'],
    ['space after the size', '3 \r\nabc\r\n0\r\n\r\n'],
    ['an empty size', '\r\nabc\r\n0\r\n\r\n'],
    ['a size beyond all numbers', 'fffffffffffffffff\r\nabc\r\n0\r\n\r\n'],
    ['a bare LF after the size', '3\nabc\r\n0\r\n\r\n'],
    ['a bare CR in an extension', '3;a\rb\r\nabc\r\n0\r\n\r\n'],
    ['a bare LF in an extension', '3;a\nb\r\nabc\r\n0\r\n\r\n'],
    ['a chunk longer than its size', '3\r\nabcd\r\n0\r\n\r\n'],
    ['a bare LF after the data', '3\r\nabc\n0\r\n\r\n'],
    ['a bare LF after the last chunk', '0\n\r\n'],
    ['a malformed trailer', '0\r\nX : 1\r\n\r\n'],
    ['a fold in a trailer', '0\r\nX: 1\r\n 2\r\n\r\n'],
    ['NUL in a trailer', '0\r\nX: \0\r\n\r\n'],
  ];
  const origin = await startOrigin(t, () => 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  for (const [name, rest] of cases) {
    const before = origin.requests.length;
    const client = await connectRaw(t, proxy.port);
    client.send(`${chunked}\r\n3\r\nabc\r\n`);
    await eventually(`${name}: the body began`, () => origin.connections.at(-1)?.bytes.endsWith('abc') === true);
    client.send(rest + smuggled);
    await client.ended;
    t.equal(statusOf(client.received()), 400, name);
    t.equal(codeOf(client.received()), 'request_malformed', name);
    t.equal(client.received().match(/HTTP\/1\.1 \d/g)?.length, 1, `${name}: one answer`);
    await eventually(`${name}: the upstream request is closed`, () => origin.connections.at(-1)?.isClosed === true);
    t.equal(origin.requests.length, before, `${name}: the upstream never got a whole request`);
  }
  t.notMatch(origin.connections.map(({ bytes }) => bytes).join(), /smuggled/);
  t.equal(proxy.inFlight(), 0);
});

onEachCarrier('a flood of chunk extensions is 400, of trailers 431', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  for (const [rest, status] of [
    [`3;${'x'.repeat(100_000)}\r\nabc\r\n0\r\n\r\n`, 400],
    [`0\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`, 431],
    [`0\r\n${'x: 1\r\n'.repeat(20_000)}\r\n`, 431],
  ] as const) {
    const client = await connectRaw(t, proxy.port);
    client.send(`${chunked}\r\n3\r\nabc\r\n`);
    await eventually('the body began', () => origin.connections.at(-1)?.bytes.endsWith('abc') === true);
    client.send(rest);
    await client.ended;
    t.equal(statusOf(client.received()), status);
    await eventually('the upstream request is closed', () => origin.connections.at(-1)?.isClosed === true);
  }
  t.equal(origin.requests.length, 0);
});

onEachCarrier('what looks odd and is valid is carried', async (t, carrier) => {
  const origin = await startOrigin(t, ({ body }) => {
    const data = dataOf(body);
    return `HTTP/1.1 200 OK\r\nContent-Length: ${data.length + 2}\r\nConnection: close\r\n\r\n<${data}>`;
  });
  const proxy = await carrier.start(t, origin.url);
  const cases: [name: string, request: string, body: string][] = [
    ['empty lines before a request', `\r\n\r\n${post}Content-Length: 3\r\n\r\nabc`, 'abc'],
    ['two spaces in the request line', `POST  / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`, 'abc'],
    ['zeros before a length', `${post}Content-Length: 0003\r\n\r\nabc`, 'abc'],
    ['space around a length', `${post}Content-Length: \t 3 \t\r\n\r\nabc`, 'abc'],
    ['no space after a colon', `${post}Content-Length:3\r\n\r\nabc`, 'abc'],
    ['CHUNKED', `${post}Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, 'abc'],
    ['chunk extensions', `${chunked}\r\n3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n`, 'abc'],
    ['zeros before a chunk size', `${chunked}\r\n0003\r\nabc\r\n000\r\n\r\n`, 'abc'],
    ['hex in capitals', `${chunked}\r\nA\r\n0123456789\r\n0\r\n\r\n`, '0123456789'],
    ['an empty chunked body', `${chunked}\r\n0\r\n\r\n`, ''],
    ['CRLF in a chunk', `${chunked}\r\n5\r\na\r\nbc\r\n0\r\n\r\n`, 'a\r\nbc'],
    ['a body on GET', `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`, 'abc'],
    ['a body on DELETE', `DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`, 'abc'],
    ['an unframed POST', `${post}\r\n`, ''],
    ['an empty header value', 'GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n', ''],
  ];
  for (const [name, request, body] of cases) {
    const client = await connectRaw(t, proxy.port);
    client.send(request);
    await client.until(`<${body}>`).catch(() => t.fail(`${name}: ${client.received()}`));
    t.equal(statusOf(client.received()), 200, name);
    client.socket.destroy();
  }
});

onEachCarrier('too many or too large headers are 431 request_headers_too_large', async (t, carrier) => {
  const origin = await startForbidden(t);
  const proxy = await carrier.start(t, origin.url, { limits: { headerBytes: 8192, headerCount: 100 } });
  for (const [name, head] of [
    ['one large value', `X: ${'x'.repeat(8200)}\r\n`],
    ['one large name', `${'x'.repeat(8200)}: 1\r\n`],
    ['many', 'a: 1\r\n'.repeat(100)],
    ['endless', `X: ${'x'.repeat(200_000)}`],
  ] as const) {
    const client = await connectRaw(t, proxy.port);
    client.send(`GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${head}\r\n`);
    await client.ended;
    t.equal(statusOf(client.received()), 431, name);
    t.equal(codeOf(client.received()), 'request_headers_too_large', name);
  }
  const client = await connectRaw(t, proxy.port);
  client.send(`GET /${'x'.repeat(8200)} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  await client.ended;
  t.equal(codeOf(client.received()), 'request_headers_too_large', 'a large target');
  t.equal(origin.connections.length, 0);
});
