// Egress: requests and upgrades leave through a CONNECT proxy that keeps every byte it is given. Outside of tunnels it
// must only ever see CONNECT lines; what is in a tunnel to an https upstream it cannot read.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { type ConnectProxy, type ConnectProxyScript, startConnectProxy } from '../egress/_connect-proxy.ts';
import { openWay, type WayChoice } from '../egress/_way.ts';
import { createAuthority } from '../providers/_certificate.ts';
import {
  codeOf,
  connectRaw,
  createFakeBearer,
  eventually,
  exchangeRaw,
  onHead,
  type ProxyUnderTest,
  readBody,
  type Scope,
  startProxy,
  startRawUpstream,
  startUpstream,
  statusOf,
} from './_proxy.ts';
import { requests, startTlsUpstream } from './_tls-upstream.ts';

const authority = createAuthority();
/** As an attacker on the egress proxy would look for it. */
const secret = 'token-SECRET-9b1f';

interface World {
  readonly proxy: ProxyUnderTest;
  readonly egress: ConnectProxy;
}

/** A proxy whose only route leads to `origin` by an egress proxy that leads it to `port`. */
async function start(scope: Scope, origin: string, port: number, choice: WayChoice = {}): Promise<World> {
  const { hostname, protocol, port: named } = new URL(origin);
  const authorityForm = `${hostname}:${named === '' ? (protocol === 'https:' ? 443 : 80) : named}`;
  const egress = await startConnectProxy(scope, { ways: { [authorityForm]: port } });
  return { egress, proxy: await startBehind(scope, egress, origin, choice) };
}

async function startBehind(scope: Scope, egress: ConnectProxy, origin: string, choice: WayChoice = {}) {
  const bearer = createFakeBearer();
  bearer.current = { credential: 'main', generation: 1, rawHeaders: ['Authorization', `Bearer ${secret}`] };
  const way = await openWay(scope, { proxy: egress.url.replace('://', '://user:pass%20word@'), ...choice });
  return await startProxy(scope, origin, { bearer, route: { way } });
}

const credentials = `Basic ${Buffer.from('user:pass word').toString('base64')}`;

t.test('an https upstream: the egress proxy sees a name and port, and neither path, header nor token', async (t) => {
  const upstream = await startTlsUpstream(t, authority.issue({ names: ['api.test'] }));
  const { proxy, egress } = await start(t, 'https://api.test', upstream.port, { ca: authority.cert });
  for (const kind of ['a GET', 'a POST', 'a GET']) {
    t.equal(statusOf(await exchangeRaw(t, proxy.port, requests[kind] ?? '')), 200, kind);
  }
  const client = await connectRaw(t, proxy.port);
  client.send(requests['an upgrade'] ?? '');
  t.equal(statusOf(await client.until('hello')), 101);

  t.equal(upstream.heads.length, 4);
  for (const head of upstream.heads) {
    t.match(head, new RegExp(`^authorization: Bearer ${secret}$`, 'im'));
    t.match(head, /^host: api\.test$/im);
    t.notMatch(head, /proxy-/i, 'what is for the egress proxy goes no further');
  }
  t.strictSame(upstream.serverNames, ['api.test', 'api.test']);
  t.equal(egress.heads.length, 2, 'requests share one tunnel, the upgrade has its own');
  for (const head of egress.heads) {
    t.match(head, /^CONNECT api\.test:443 HTTP\/1\.1\r\n/);
    t.match(head, /^host: api\.test:443$/im);
    t.match(head, new RegExp(`^proxy-authorization: ${credentials.replace('+', '\\+')}$`, 'im'));
  }
  const seen = egress.outside() + egress.inside();
  t.ok(egress.inside().length > 500, 'the tunnels were used');
  for (const word of [secret, 'Bearer', '/x', 'Sec-WebSocket', 'body']) t.notOk(seen.includes(word), word);
});

t.test('an http upstream: by a tunnel as well, so that no request is the egress proxy’s to read or log', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    onHead(socket, (head) => {
      heads.push(head);
      socket.write(
        /^upgrade:/im.test(head)
          ? 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello'
          : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
      );
    });
  });
  const heads: string[] = [];
  const { proxy, egress } = await start(t, 'http://api.test:8080', Number(new URL(upstream.url).port));
  t.equal(statusOf(await exchangeRaw(t, proxy.port, requests['a GET'] ?? '')), 200);
  const client = await connectRaw(t, proxy.port);
  client.send(requests['an upgrade'] ?? '');
  t.equal(statusOf(await client.until('hello')), 101);

  t.equal(heads.length, 2);
  for (const head of heads) {
    t.match(head, /^GET \/x HTTP\/1\.1\r\n/, 'never the absolute form');
    t.match(head, new RegExp(`^authorization: Bearer ${secret}$`, 'im'));
    t.notMatch(head, /proxy-/i);
  }
  t.equal(egress.heads.length, 2);
  for (const head of egress.heads) t.match(head, /^CONNECT api\.test:8080 HTTP\/1\.1\r\n/);
  t.notOk(egress.outside().includes(secret), 'the token is in no request to the egress proxy');
});

t.test('an egress proxy over TLS is judged by its own certificate, before its credentials are sent', async (t) => {
  const upstream = await startTlsUpstream(t, authority.issue({ names: ['api.test'] }));
  const egress = await startConnectProxy(t, {
    ways: { 'api.test:443': upstream.port },
    certificate: authority.issue({ addresses: ['127.0.0.1'] }),
  });
  // `ca` is for the upstream: it says nothing of the egress proxy.
  const proxy = await startBehind(t, egress, 'https://api.test', { ca: authority.cert });
  for (const request of Object.values(requests)) {
    const answer = await exchangeRaw(t, proxy.port, request);
    t.equal(codeOf(answer), 'egress_unreachable');
    t.match(answer, 'its certificate is not accepted');
  }
  t.equal(egress.outside(), '');
});

t.test('header bytes, order, case and duplicates are kept through a tunnel, and 1 MiB passes both ways', async (t) => {
  const seen: string[][] = [];
  const upstream = await startUpstream(t, async (request, response) => {
    seen.push(request.rawHeaders);
    response.end(await readBody(request));
  });
  const { proxy } = await start(t, 'http://api.test', upstream.port);
  const body = randomBytes(1024 * 1024);
  const head =
    'POST /x HTTP/1.1\r\nHost: h\r\nX-b: 1\r\nx-A: \xe9\r\nX-B: 2\r\nConnection: close\r\nContent-Length: 1048576\r\n\r\n';
  const answer = await exchangeRaw(t, proxy.port, Buffer.concat([Buffer.from(head, 'latin1'), body]));
  t.ok(answer.endsWith(body.toString('latin1')), 'the body came back');
  t.match(seen[0]?.join('|'), '|X-b|1|x-A|\xe9|X-B|2|');
});

interface Refusal {
  readonly name: string;
  readonly script: ConnectProxyScript;
  readonly code: ErrorCode;
  readonly says: string;
}

const status = (line: string): string => `HTTP/1.1 ${line}\r\nContent-Length: 5\r\nX: ${secret}\r\n\r\nleft\n`;
const refusals: readonly Refusal[] = [
  {
    name: '407',
    script: { reply: status('407 Proxy Authentication Required') },
    code: 'egress_refused',
    says: 'user and password',
  },
  { name: '403', script: { reply: status('403 Forbidden') }, code: 'egress_refused', says: 'it answers 403' },
  { name: '502', script: { reply: status('502 Bad Gateway') }, code: 'egress_refused', says: 'it answers 502' },
  { name: '302', script: { reply: status('302 Found') }, code: 'egress_refused', says: 'it answers 302' },
  {
    name: 'bytes of its own in the tunnel',
    script: { reply: 'HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n' },
    code: 'egress_refused',
    says: 'bytes of its own',
  },
  {
    name: 'something that is no HTTP',
    script: { reply: 'SSH-2.0-OpenSSH_9.9\r\n' },
    code: 'egress_unreachable',
    says: 'it does not answer in HTTP',
  },
  { name: 'nothing, and ends', script: { reply: 'close' }, code: 'egress_unreachable', says: 'Check egress.proxy' },
  { name: 'nothing at all', script: { reply: 'silence' }, code: 'egress_unreachable', says: 'within the time' },
];

for (const { name, script, code, says } of refusals) {
  for (const origin of ['https://api.test', 'http://api.test']) {
    t.test(`an egress proxy that answers ${name} is 502 \`${code}\` on the way to ${origin}`, async (t) => {
      const egress = await startConnectProxy(t, script);
      const bearer = createFakeBearer();
      bearer.current = { credential: 'main', generation: 1, rawHeaders: ['Authorization', `Bearer ${secret}`] };
      const way = await openWay(t, { proxy: egress.url.replace('://', '://user:hidden@') });
      const timeouts = { connectMs: name === 'nothing at all' ? 100 : 2000, headersMs: 0, idleMs: 0 };
      const proxy = await startProxy(t, origin, { bearer, route: { way, timeouts } });
      for (const [kind, request] of Object.entries(requests)) {
        const answer = await exchangeRaw(t, proxy.port, request);
        t.equal(statusOf(answer), 502, kind);
        t.equal(codeOf(answer), code, kind);
        t.match(answer, says, kind);
        t.notMatch(answer, /hidden|SECRET/, kind);
      }
      t.equal(egress.heads.length, 3, 'each was tried once');
      t.notOk(egress.outside().includes(secret), 'the token was not sent');
      for (const { error } of proxy.observer.ends) t.match(error?.details.address, egress.name);
      await eventually('every connection to it is over', () => egress.open() === 0);
    });
  }
}

t.test('an egress proxy that is not there is 502 `egress_unreachable`, and serves again once it is', async (t) => {
  const egress = await startConnectProxy(t);
  await egress.close();
  const proxy = await startBehind(t, egress, 'https://api.test');
  for (const [kind, request] of Object.entries(requests)) {
    const answer = await exchangeRaw(t, proxy.port, request);
    t.equal(statusOf(answer), 502, kind);
    t.equal(codeOf(answer), 'egress_unreachable', kind);
  }
  t.match(proxy.observer.ends[0]?.error?.details, { systemCode: 'ECONNREFUSED', address: egress.name });
});

t.test(
  'a wrong certificate within the tunnel is the upstream’s: 502 `upstream_tls_failed`, nothing sent',
  async (t) => {
    const upstream = await startTlsUpstream(t, authority.issue({ names: ['other.test'] }));
    const { proxy } = await start(t, 'https://api.test', upstream.port, { ca: authority.cert });
    for (const request of Object.values(requests)) {
      t.equal(codeOf(await exchangeRaw(t, proxy.port, request)), 'upstream_tls_failed');
    }
    t.equal(upstream.bytes(), 0);
  },
);

t.test('an upstream that ends the connection once it was sent a handshake is `upstream_closed`', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => onHead(socket, () => socket.end()));
  const { proxy } = await start(t, 'http://api.test', Number(new URL(upstream.url).port));
  t.equal(codeOf(await exchangeRaw(t, proxy.port, requests['an upgrade'] ?? '')), 'upstream_closed');
});

t.test('loopback and what noProxy lists go straight, whatever the egress proxy is', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => response.end('ok'));
  const egress = await startConnectProxy(t);
  for (const origin of [upstream.url, upstream.url.replace('127.0.0.1', 'localhost')]) {
    const proxy = await startBehind(t, egress, origin);
    t.equal(statusOf(await exchangeRaw(t, proxy.port, requests['a GET'] ?? '')), 200, origin);
  }
  // A name that leads nowhere, so that only where it was asked for shows which way it went.
  const proxy = await startBehind(t, egress, 'http://api.invalid', { noProxy: '.invalid' });
  t.equal(codeOf(await exchangeRaw(t, proxy.port, requests['a GET'] ?? '')), 'upstream_unreachable');
  t.strictSame(egress.heads, []);
});

t.test('a client that leaves while the tunnel is being opened leaves nothing behind', async (t) => {
  const egress = await startConnectProxy(t, { reply: 'silence' });
  const way = await openWay(t, { proxy: egress.url });
  const timeouts = { connectMs: 300, headersMs: 0, idleMs: 0 };
  const proxy = await startProxy(t, 'https://api.test', { route: { way, timeouts } });
  for (const request of Object.values(requests)) {
    const client = await connectRaw(t, proxy.port);
    client.send(request.replace('Connection: close\r\n', ''));
    const before = egress.heads.length;
    await eventually('the tunnel is asked for', () => egress.heads.length > before || egress.open() > 0);
    client.socket.destroy();
  }
  await eventually('every tunnel is over', () => egress.open() === 0);
  t.equal(proxy.inFlight(), 0);
});
