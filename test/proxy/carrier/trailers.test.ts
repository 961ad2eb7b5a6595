// Trailers (RFC 9110 §6.5): those of answers arrive, but never what belongs into a head; with those of requests no
// token can be smuggled.
import { exchangeRaw, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTE: trailers\r\n\r\n';

onEachCarrier('trailers of an answer arrive in order, with case, duplicates and bytes', async (t, carrier) => {
  const origin = await startOrigin(
    t,
    () =>
      'HTTP/1.1 200 OK\r\nTrailer: X-Sum, grpc-status\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: \xe92\r\ngrpc-status: 0\r\nX-Empty:\r\n\r\n',
  );
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(t, proxy.port, get);
  t.match(answer, /^Trailer: X-Sum, grpc-status\r$/m);
  t.match(answer, /\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: \xe92\r\ngrpc-status: 0\r\nX-Empty: \r\n\r\n$/);
});

onEachCarrier('hop-by-hop headers and our own mark do not arrive as trailers', async (t, carrier) => {
  const origin = await startOrigin(
    t,
    () =>
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nConnection: close\r\nKeep-Alive: 1\r\nTrailer: x\r\nSidebearer-Error: route_unknown\r\nX-Kept: 1\r\n\r\n',
  );
  const proxy = await carrier.start(t, origin.url);
  t.match(await exchangeRaw(t, proxy.port, get), /\r\n0\r\nX-Kept: 1\r\n\r\n$/);
});

onEachCarrier('framing in trailers is left out, or the answer is cut', async (t, carrier) => {
  for (const framing of ['Content-Length: 9', 'Transfer-Encoding: gzip']) {
    const origin = await startOrigin(
      t,
      () => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${framing}\r\n\r\n`,
    );
    const proxy = await carrier.start(t, origin.url);
    t.match(await exchangeRaw(t, proxy.port, get), /2\r\nok\r\n(0\r\n\r\n)?$/);
  }
});

onEachCarrier('trailers that no answer to this client could carry are left out', async (t, carrier) => {
  const origin = await startOrigin(
    t,
    () => 'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n',
  );
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(t, proxy.port, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  t.match(answer, /\r\n\r\nok$/);
  t.notMatch(answer, /trailer|x-sum/i);
});

onEachCarrier('trailers of a request: none is sent that looks like ours (request-trailers)', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(
    t,
    proxy.port,
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Authorization\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nAuthorization: Bearer theirs\r\nauthorization_: x\r\nHost: evil\r\n\r\n',
  );
  t.equal(statusOf(answer), 204);
  const bytes = origin.connections[0]?.bytes ?? '';
  t.equal(bytes.match(/^authorization: /gim)?.length, 1);
  t.notMatch(bytes, /theirs|evil/);
  if (carrier.differences.has('request-trailers')) {
    t.notMatch(bytes, /x-sum/i, 'neither announced nor sent');
    t.match(bytes, /2\r\nok\r\n0\r\n\r\n$/);
  } else {
    t.match(bytes, /\r\n0\r\nX-Sum: 1\r\n/);
  }
});
