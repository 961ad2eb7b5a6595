// No request target chooses the destination, and no byte of a path is changed on its way (RFC 9112 §3.2).
import { codeOf, exchangeRaw, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startForbidden, startOrigin } from './_origin.ts';

const empty = 'HTTP/1.1 204 No Content\r\n\r\n';

onEachCarrier('paths arrive byte for byte', async (t, carrier) => {
  const origin = await startOrigin(t, () => empty);
  const proxy = await carrier.start(t, origin.url);
  const paths = [
    '/',
    '/?',
    '/a?b=c&d',
    '/a??b',
    '//',
    '///a//b/',
    '/%2F%2f%5c%00%0d%0a',
    '/%zz%',
    "/!$&'()*+,;=:@-._~",
    '/{}|^`"<>[]',
    '/\\a\\b',
    '/a;v=1/b;c',
    '/...',
    '/.../a',
    '/.hidden',
    '/a?x=/../../y',
    '/a?http://b/',
    '/:80',
    '/@a',
    `/${'x'.repeat(8000)}`,
  ];
  for (const path of paths) {
    const answer = await exchangeRaw(t, proxy.port, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    t.equal(statusOf(answer), 204, path);
    t.equal(origin.requests.at(-1)?.line, `GET ${path} HTTP/1.1`);
  }
});

onEachCarrier('bytes above 0x7f in a path arrive as they are or are refused', async (t, carrier) => {
  const origin = await startOrigin(t, () => empty);
  const proxy = await carrier.start(t, origin.url);
  for (const path of ['/\xe9', '/\xc3\xa9?\xff', '/\x80']) {
    const answer = await exchangeRaw(t, proxy.port, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    if (statusOf(answer) === 204) t.equal(origin.requests.at(-1)?.line, `GET ${path} HTTP/1.1`);
    else t.equal(codeOf(answer), 'request_malformed');
  }
});

onEachCarrier('absolute-form, //host, backslashes and userinfo never change the destination', async (t, carrier) => {
  const origin = await startOrigin(t, () => empty);
  const stray = await startForbidden(t);
  const proxy = await carrier.start(t, origin.url);
  const evil = stray.host;
  const carried: [target: string, line: string][] = [
    [`http://${evil}/x?y`, '/x?y'],
    [`https://${evil}/x`, '/x'],
    [`HTTP://${evil}`, '/'],
    [`http://${evil}?q`, '/?q'],
    [`http://${evil}//b`, '//b'],
    [`//${evil}/x`, `//${evil}/x`],
    [`///${evil}/x`, `///${evil}/x`],
    [`/\\${evil}/x`, `/\\${evil}/x`],
    [`/@${evil}/x`, `/@${evil}/x`],
    [`/http://${evil}/`, `/http://${evil}/`],
    [`/?http://${evil}/`, `/?http://${evil}/`],
  ];
  for (const [target, path] of carried) {
    const answer = await exchangeRaw(
      t,
      proxy.port,
      `GET ${target} HTTP/1.1\r\nHost: ${evil}\r\nConnection: close\r\n\r\n`,
    );
    t.equal(statusOf(answer), 204, target);
    t.equal(origin.requests.at(-1)?.line, `GET ${path} HTTP/1.1`, target);
    t.match(origin.requests.at(-1)?.headers, [`host: ${origin.host}`], target);
  }
  const count = origin.requests.length;
  const refused = [
    `http://user:pw@${evil}/x`,
    `http://good\\@${evil}/x`,
    `http://${evil}\\@good/x`,
    'http:///x',
    'http://',
    'http:x',
    'http:/x',
    `http://a b/`,
    `ftp://${evil}/x`,
    `${evil}`,
    'x',
    '\\x',
    '*x',
    '?x',
    '/x#y',
    `http://${evil}#y`,
    '/../x',
    '/%2e%2E/x',
    '/a/..%2f..%2fx',
    '/..;/x',
    '/..\\x',
    '',
  ];
  for (const target of refused) {
    const answer = await exchangeRaw(
      t,
      proxy.port,
      `GET ${target} HTTP/1.1\r\nHost: ${evil}\r\nConnection: close\r\n\r\n`,
    );
    t.match(codeOf(answer) ?? '', /^request_(malformed|target_unsupported)$/, target);
    t.match(String(statusOf(answer)), /^(400|501)$/, target);
  }
  t.equal(origin.requests.length, count);
  t.equal(stray.connections.length, 0, 'nothing ever reached the other host');
});

onEachCarrier('TRACE and CONNECT are 405 request_method_refused, whatever follows them', async (t, carrier) => {
  const origin = await startForbidden(t);
  const proxy = await carrier.start(t, origin.url);
  for (const request of [
    'TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n',
    `CONNECT ${origin.host} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n`,
  ]) {
    const answer = await exchangeRaw(t, proxy.port, request);
    t.equal(statusOf(answer), 405, request);
    t.equal(codeOf(answer), 'request_method_refused');
    t.match(answer, /^Allow: /m);
    t.equal(answer.match(/HTTP\/1\.1 \d/g)?.length, 1);
  }
  t.equal(origin.connections.length, 0);
});

onEachCarrier('OPTIONS * is carried, or 501 request_target_unsupported (asterisk-form)', async (t, carrier) => {
  const origin = await startOrigin(t, () => empty);
  const proxy = await carrier.start(t, origin.url);
  const answer = await exchangeRaw(t, proxy.port, 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  if (carrier.differences.has('asterisk-form')) {
    t.equal(statusOf(answer), 501);
    t.equal(codeOf(answer), 'request_target_unsupported');
    t.equal(origin.connections.length, 0);
  } else {
    t.equal(statusOf(answer), 204);
    t.equal(origin.requests[0]?.line, 'OPTIONS * HTTP/1.1');
  }
});

onEachCarrier('a missing, double or malformed Host is 400 before any upstream byte', async (t, carrier) => {
  const origin = await startForbidden(t);
  const proxy = await carrier.start(t, origin.url);
  const heads = [
    '',
    'Host:\r\n',
    'Host: \t \r\n',
    'Host: a\r\nHost: a\r\n',
    'Host: a\r\nhost: b\r\n',
    'Host: a, b\r\n',
    'Host: a b\r\n',
    'Host: u@a\r\n',
    'Host: u:p@a\r\n',
    'Host: a/b\r\n',
    'Host: a?b\r\n',
    'Host: a#b\r\n',
    'Host: a\\b\r\n',
    'Host: a:b\r\n',
    'Host: a:80:80\r\n',
    'Host: a:-1\r\n',
    'Host: a:99999999\r\n',
    'Host: :80\r\n',
    'Host: [::1\r\n',
    'Host: ::1\r\n',
    'Host: http://a\r\n',
    'Host: a\x80\r\n',
    'Host: "a"\r\n',
  ];
  for (const head of heads) {
    const answer = await exchangeRaw(t, proxy.port, `GET / HTTP/1.1\r\n${head}Connection: close\r\n\r\n`);
    t.equal(statusOf(answer), 400, head);
    t.equal(codeOf(answer), 'request_malformed', head);
  }
  t.equal(origin.connections.length, 0);
});
