// End-to-end headers cross byte for byte; of those that we inject exactly one arrives, and it is ours.
import { createFakeBearer, exchangeRaw, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const ours = 'Authorization: Bearer token-1';

onEachCarrier('request headers arrive in order, with case, duplicates and bytes 0x80 to 0xff', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  let bytes = '';
  for (let code = 0x80; code <= 0xff; code += 1) bytes += String.fromCharCode(code);
  const lines = [
    'X-B: 1',
    'x-b: 2',
    'X-A: a,  b ,c',
    `X-Bytes: ${bytes}`,
    'Cookie: a=1',
    'Cookie: b=2',
    'Content-Type: text/plain; charset="utf-8"',
    'Date: never',
    'User-Agent: a b (c; d)',
    'Accept-Encoding: gzip',
    'If-Match: "x", W/"y"',
    "!#$%&'*+-.^_`|~09: odd",
    'X-Tab: a\tb',
    'Max-Forwards: 0',
    'Via: 1.1 other',
    'X-Forwarded-For: 10.0.0.1',
    'Forwarded: for=10.0.0.1',
    'X-B: 3',
  ];
  const answer = await exchangeRaw(
    t,
    proxy.port,
    `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines.join('\r\n')}\r\nX-Empty:\r\nX-Padded: \t a \t\r\n\r\n`,
  );
  t.equal(statusOf(answer), 204);
  const headers = origin.requests[0]?.headers ?? [];
  t.same(
    headers.filter((line) => !/^(host|connection): /i.test(line)),
    [...lines, 'X-Empty: ', 'X-Padded: a', ours],
  );
  t.equal(headers.filter((line) => /^host: /i.test(line)).length, 1);
});

onEachCarrier('answer headers arrive in order, with case, duplicates, bytes and reason', async (t, carrier) => {
  let bytes = '';
  for (let code = 0x80; code <= 0xff; code += 1) bytes += String.fromCharCode(code);
  const lines = [
    'X-B: 1',
    'x-b: 2',
    'Set-Cookie: a=1; Path=/',
    'Set-Cookie: b=2',
    `X-Bytes: ${bytes}`,
    'WWW-Authenticate: Basic realm="x", Bearer',
    'Content-Length: 2',
    'Server: x',
    'X-Tab: a\tb',
    'X-B: 3',
  ];
  const origin = await startOrigin(
    t,
    () =>
      `HTTP/1.1 299 Rather (fine)\r\n${lines.join('\r\n')}\r\nX-Empty:\r\nX-Padded: \t a \t\r\nSidebearer-Error: route_unknown\r\n\r\nok`,
  );
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(t, proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  // Space around a value is no part of it (RFC 9112 §5).
  t.same(answer.replace(/[ \t]+\r\n/g, '\r\n').split('\r\n'), [
    'HTTP/1.1 299 Rather (fine)',
    ...lines,
    'X-Empty:',
    'X-Padded: a',
    'Connection: close',
    '',
    'ok',
  ]);
});

onEachCarrier('a reason of UTF-8 arrives as it was, an empty one stays empty', async (t, carrier) => {
  let reason = '';
  const origin = await startOrigin(t, () => `HTTP/1.1 200 ${reason}\r\nContent-Length: 0\r\n\r\n`);
  const proxy = await carrier.start(t, origin.url);
  for (reason of ['Tr\xc3\xa8s bien', 'a\tb', '', 'x'.repeat(300)]) {
    const answer = await exchangeRaw(t, proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    t.equal(answer.split('\r\n')[0], `HTTP/1.1 200 ${reason}`);
  }
});

onEachCarrier('a reason of bytes that are no UTF-8 (reason-bytes)', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 200 \xe9t\xe9\r\nContent-Length: 0\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(t, proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  t.equal(
    answer.split('\r\n')[0],
    carrier.differences.has('reason-bytes') ? 'HTTP/1.1 200 ' : 'HTTP/1.1 200 \xe9t\xe9',
  );
});

onEachCarrier('the places of Host and Content-Length (header-places)', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  await exchangeRaw(
    t,
    proxy.port,
    'POST / HTTP/1.1\r\nX-1: 1\r\nCONTENT-length: 2\r\nX-2: 2\r\nHost: a\r\nConnection: close\r\n\r\nok',
  );
  const headers = origin.requests[0]?.headers;
  if (carrier.differences.has('header-places')) {
    t.same(headers, [`host: ${origin.host}`, 'connection: keep-alive', 'X-1: 1', 'X-2: 2', ours, 'content-length: 2']);
  } else {
    t.same(headers, ['X-1: 1', 'CONTENT-length: 2', 'X-2: 2', `Host: ${origin.host}`, ours]);
  }
});

onEachCarrier('Content-Length: 0 and its absence (length-zero)', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  const length = async (method: string, header: string): Promise<string | undefined> => {
    await exchangeRaw(t, proxy.port, `${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${header}\r\n`);
    return origin.requests.at(-1)?.headers.find((line) => /^content-length|^transfer-encoding/i.test(line));
  };
  const zero = 'Content-Length: 0\r\n';
  t.match(await length('POST', zero), /^content-length: 0$/i);
  t.equal(await length('GET', ''), undefined);
  if (carrier.differences.has('length-zero')) {
    t.equal(await length('GET', zero), undefined, 'a GET loses its zero');
    t.equal(await length('POST', ''), 'content-length: 0', 'a POST gets one');
    t.equal(
      await length('POST', 'Transfer-Encoding: chunked\r\n\r\n0\r\n'),
      'content-length: 0',
      'in place of nothing',
    );
  } else {
    t.equal(await length('GET', zero), 'Content-Length: 0');
    t.equal(await length('POST', ''), undefined);
  }
});

onEachCarrier('exactly one Authorization arrives, ours, whatever the client sent', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  for (const header of [
    'Authorization: Bearer theirs',
    'authorization: Bearer theirs\r\nAUTHORIZATION: Bearer theirs',
    'Authorization:',
    'Connection: Authorization',
    'Connection: close, authorization\r\nAuthorization: Bearer theirs',
    'Proxy-Authorization: Basic theirs',
  ]) {
    await exchangeRaw(t, proxy.port, `GET / HTTP/1.1\r\nHost: a\r\n${header}\r\nConnection: close\r\n\r\n`);
    const headers = origin.requests.at(-1)?.headers ?? [];
    t.same(
      headers.filter((line) => /authorization/i.test(line)),
      [ours],
      header,
    );
  }
  t.notMatch(origin.connections.map(({ bytes }) => bytes).join(), /theirs/);
});

onEachCarrier('look-alikes of every injected header are removed: case and underscores', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const bearer = createFakeBearer(['authorization', 'x-account-id']);
  bearer.current = {
    credential: 'main',
    generation: 1,
    rawHeaders: ['Authorization', 'Bearer token-1', 'X-Account-Id', 'acme'],
  };
  const proxy = await carrier.start(t, origin.url, { bearer });
  await exchangeRaw(
    t,
    proxy.port,
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX_Account_Id: evil\r\nx-account_ID: evil\r\nX-ACCOUNT-ID: evil\r\nAUTHORIZATION_: evil2\r\nX-Account-Ids: fine\r\n\r\n',
  );
  t.same(origin.requests[0]?.headers.slice(2), [
    'AUTHORIZATION_: evil2',
    'X-Account-Ids: fine',
    ours,
    'X-Account-Id: acme',
  ]);
});
