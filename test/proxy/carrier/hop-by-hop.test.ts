// Headers of one connection stay on it, both ways (RFC 9110 §7.6.1), and nobody can nominate ours away.
import { exchangeRaw, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const hops = [
  'Keep-Alive: timeout=99',
  'Proxy-Connection: keep-alive',
  'Proxy-Authenticate: Basic',
  'Proxy-Authentication-Info: x',
  'Proxy-Authorization: Basic eA==',
  'TE: trailers, deflate',
  'X-Nominated: 1',
  'x-also: 1',
  'X-Also: 2',
];

onEachCarrier('hop-by-hop and nominated request headers are dropped', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  await exchangeRaw(
    t,
    proxy.port,
    `GET / HTTP/1.1\r\nHost: a\r\nConnection: x-nominated ,,\tX-ALSO\r\nUpgrade: foo\r\n${hops.join('\r\n')}\r\nConnection: close, Upgrade\r\nX-Kept: 1\r\n\r\n`,
  );
  t.same(
    origin.requests[0]?.headers.filter((line) => !/^(host|connection): /.test(line)),
    ['X-Kept: 1', 'Authorization: Bearer token-1'],
  );
  t.notMatch(origin.requests[0]?.head, /^connection: .*(nominated|also|upgrade)/im);
});

onEachCarrier('hop-by-hop and nominated answer headers are dropped', async (t, carrier) => {
  const origin = await startOrigin(
    t,
    () =>
      `HTTP/1.1 200 OK\r\nConnection: x-nominated,\tX-ALSO\r\nUpgrade: foo\r\n${hops.join('\r\n')}\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n`,
  );
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(t, proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  t.same(answer.split('\r\n'), ['HTTP/1.1 200 OK', 'X-Kept: 1', 'Content-Length: 0', 'Connection: close', '', '']);
});

onEachCarrier('an answer cannot nominate its own framing away', async (t, carrier) => {
  for (const framing of ['Content-Length: 2\r\n\r\nok', 'Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n']) {
    const origin = await startOrigin(
      t,
      () => `HTTP/1.1 200 OK\r\nConnection: Content-Length, Transfer-Encoding\r\n${framing}`,
    );
    const proxy = await carrier.start(t, origin.url);
    const answer = await exchangeRaw(t, proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    t.match(answer, /(\r\n\r\nok|\r\n\r\n2\r\nok\r\n0\r\n\r\n)$/);
  }
});

onEachCarrier('a request cannot nominate its framing, its Host or our token away', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  await exchangeRaw(
    t,
    proxy.port,
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: close, Host, Content-Length, Authorization\r\nContent-Length: 2\r\n\r\nok',
  );
  t.match(origin.requests[0]?.headers, new RegExp(`host: ${origin.host}`, 'i'));
  t.ok(origin.requests[0]?.headers.includes('Authorization: Bearer token-1'));
  t.match(origin.requests[0]?.body, /^ok$|^2\r\nok\r\n0\r\n\r\n$/);
});

onEachCarrier('thousands of nominations are all heeded', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  const names = Array.from({ length: 2000 }, (_, i) => `n${i}`);
  const answer = await exchangeRaw(
    t,
    proxy.port,
    `GET / HTTP/1.1\r\nHost: a\r\nConnection: close, ${names.join(',')}\r\nN1999: 1\r\nn0: 1\r\nn2000: 1\r\n\r\n`,
  );
  t.equal(statusOf(answer), 204);
  t.same(origin.requests[0]?.headers.slice(2), ['n2000: 1', 'Authorization: Bearer token-1']);
});
