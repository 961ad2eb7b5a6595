// TLS on the proxy's own listener, and the authority of its clients: whoever shows no certificate of it is refused in the
// handshake, counted, and costs the upstream nothing.
import { once } from 'node:events';
import { connect as connectH2 } from 'node:http2';
import type { Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import type { ErrorCode } from '../../../src/errors/catalogue.ts';
import { createAuthority } from '../../providers/_certificate.ts';
import { connectRaw, eventually, type ProxyUnderTest } from '../_proxy.ts';
import { type Carrier, onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const servers = createAuthority('servers');
const clients = createAuthority('clients');
const strangers = createAuthority('clients');
const own = servers.issue({ addresses: ['127.0.0.1'] });
const upgraded = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello';
const upgrade =
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

async function start(t: Test, carrier: Carrier, clientCa?: string, headerTimeoutMs = 15_000) {
  const origin = await startOrigin(t, ({ head, line }) => {
    if (/^upgrade: websocket$/im.test(head)) return upgraded;
    return line.includes('/broken') ? 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab' : 'HTTP/1.1 204 No\r\n\r\n';
  });
  const proxy = await carrier.start(t, origin.url, {
    tls: { ...own, clientCa },
    limits: { headerTimeoutMs },
    route: { forwarding: { forwarded: 'forwarded', via: true } },
  });
  return { origin, proxy };
}

/** What came until the end, and whether the client got as far as saying something. */
async function talk(
  t: Test,
  proxy: ProxyUnderTest,
  text: string,
  options: ConnectionOptions = {},
  until = /^$/,
): Promise<{ text: string; socket: TLSSocket; error: Error | undefined }> {
  const socket = connect({ port: proxy.port, host: '127.0.0.1', ca: servers.cert, ...options });
  t.teardown(() => socket.destroy());
  let received = '';
  let error: Error | undefined;
  socket.on('error', (thrown) => {
    error = thrown;
  });
  socket.write(text);
  await new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (until.test(received)) resolve();
    });
  });
  return { text: received, socket, error };
}

const codesOf = ({ observer }: ProxyUnderTest): readonly ErrorCode[] => observer.failures.map(({ code }) => code);

onEachCarrier('HTTP/1.1 is served over TLS, with and without ALPN, and is told as https', async (t, carrier) => {
  const { origin, proxy } = await start(t, carrier);
  t.match(proxy.url, /^https:\/\/127\.0\.0\.1:\d+$/);
  for (const ALPNProtocols of [[], ['http/1.1'], ['http/1.1', 'h2']]) {
    const { text, socket } = await talk(t, proxy, get, { ALPNProtocols });
    t.match(text, /^HTTP\/1\.1 204 /);
    if (ALPNProtocols.length === 1) t.equal(socket.alpnProtocol, 'http/1.1');
  }
  t.equal(origin.requests.length, 3);
  t.match(origin.requests[0]?.head, /^Forwarded: for=127\.0\.0\.1;host=a;proto=https$/m);
  t.strictSame(codesOf(proxy), []);
});

onEachCarrier('HTTP/2 is served over TLS by ALPN', async (t, carrier) => {
  const { origin, proxy } = await start(t, carrier, clients.cert);
  const session = connectH2(proxy.url, { ca: servers.cert, ...clients.issue({}) });
  t.teardown(() => session.destroy());
  for (const path of ['/1', '/2']) {
    const stream = session.request({ ':path': path });
    const [headers] = await once(stream, 'response');
    t.equal(headers[':status'], 204);
    stream.resume();
  }
  t.equal(session.alpnProtocol, 'h2');
  t.match(origin.requests[1]?.head, /^Forwarded: for=127\.0\.0\.1;host="127\.0\.0\.1:\d+";proto=https$/m);
  t.match(origin.requests[1]?.head, /^Via: 2\.0 sidebearer$/m);
});

onEachCarrier('a WebSocket is served over TLS, both ways', async (t, carrier) => {
  const { origin, proxy } = await start(t, carrier, clients.cert);
  const { text, socket } = await talk(t, proxy, `${upgrade}glued`, clients.issue({}), /hello$/);
  t.match(text, /^HTTP\/1\.1 101 /);
  await eventually('the glued bytes arrived', () => origin.connections[0]?.bytes.endsWith('\r\n\r\nglued') === true);
  socket.write('more');
  await eventually('more arrived', () => origin.connections[0]?.bytes.endsWith('gluedmore') === true);
  socket.end();
  await eventually('the upgrade is over', () => proxy.observer.upgrades === 0);
});

onEachCarrier('many requests on one connection of TLS are answered in order', async (t, carrier) => {
  const { origin, proxy } = await start(t, carrier);
  const { text } = await talk(t, proxy, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(50) + get);
  t.equal(text.match(/HTTP\/1\.1 204 /g)?.length, 51);
  t.equal(origin.requests.length, 51);
});

const wrong: readonly (readonly [title: string, options: () => ConnectionOptions, code: ErrorCode])[] = [
  ['no certificate', () => ({}), 'client_certificate_refused'],
  ['one of another authority of the same name', () => strangers.issue({}), 'client_certificate_refused'],
  ['the server’s own', () => own, 'client_certificate_refused'],
  ['one that has expired', () => clients.issue({ until: '20010101000000Z' }), 'client_certificate_refused'],
  ['one of the future', () => clients.issue({ from: '20900101000000Z' }), 'client_certificate_refused'],
  ['a protocol that nobody knows', () => ({ ...clients.issue({}), ALPNProtocols: ['foo'] }), 'client_tls_failed'],
];

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  for (const [title, options, code] of wrong) {
    onEachCarrier(`a client with ${title} is refused in its handshake (${maxVersion})`, async (t, carrier) => {
      const { origin, proxy } = await start(t, carrier, clients.cert);
      for (const bytes of [get, upgrade, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']) {
        const { text } = await talk(t, proxy, bytes, { ...options(), maxVersion });
        t.equal(text, '', 'it gets nothing');
      }
      t.strictSame(codesOf(proxy), [code, code, code]);
      t.equal(origin.connections.length, 0, 'nothing is sent');
      t.equal(proxy.observer.ends.length, 0);
      t.equal(proxy.inFlight(), 0);
      t.match((await talk(t, proxy, get, { ...clients.issue({}), maxVersion })).text, /^HTTP\/1\.1 204 /);
    });
  }

  onEachCarrier(`a client that was refused cannot resume its session (${maxVersion})`, async (t, carrier) => {
    const { origin, proxy } = await start(t, carrier, clients.cert);
    const sessions: Buffer[] = [];
    for (const options of [strangers.issue({}), {}]) {
      const socket = connect({ port: proxy.port, host: '127.0.0.1', ca: servers.cert, maxVersion, ...options });
      socket.on('error', () => undefined);
      socket.on('session', (session) => sessions.push(session));
      await new Promise((resolve) => socket.on('close', resolve));
    }
    for (const session of sessions) {
      t.equal((await talk(t, proxy, get, { session, maxVersion })).text, '');
    }
    t.equal(origin.connections.length, 0);

    const good = connect({ port: proxy.port, host: '127.0.0.1', ca: servers.cert, maxVersion, ...clients.issue({}) });
    good.on('error', () => undefined);
    const kept: Buffer[] = [];
    good.on('session', (session) => kept.push(session));
    good.end(get);
    await once(good.resume(), 'close');
    t.match(
      (await talk(t, proxy, get, { session: kept.at(-1), ...clients.issue({}), maxVersion })).text,
      /^HTTP\/1\.1 204 /,
    );
  });
}

const noTls: readonly (readonly [string, string])[] = [
  ['a plain request', get],
  ['a plain preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['bytes that mean nothing', '\x00\x01\x02\x03\x04\x05\x06\x07'],
];

for (const [title, bytes] of noTls) {
  onEachCarrier(`${title} to the listener of TLS is ended and counted`, async (t, carrier) => {
    const { origin, proxy } = await start(t, carrier);
    const client = await connectRaw(t, proxy.port);
    client.send(bytes);
    await client.ended;
    t.notMatch(client.received(), /HTTP/);
    await eventually('it is counted', () => proxy.observer.failures.length === 1);
    t.strictSame(codesOf(proxy), ['client_tls_failed']);
    t.equal(origin.connections.length, 0);
  });
}

onEachCarrier(
  'a client that leaves without a word, or within its handshake, is nobody’s mistake',
  async (t, carrier) => {
    const { proxy } = await start(t, carrier, clients.cert);
    for (const bytes of ['', '\x16\x03\x01\x02\x00\x01']) {
      const client = await connectRaw(t, proxy.port);
      client.socket.end(bytes, 'latin1');
      await client.ended;
    }
    t.match((await talk(t, proxy, get, clients.issue({}))).text, /^HTTP\/1\.1 204 /);
    t.strictSame(codesOf(proxy), []);
  },
);

onEachCarrier('a handshake that does not end is cut after the time for a head', async (t, carrier) => {
  const { proxy } = await start(t, carrier, undefined, 100);
  const [silent, begun] = [await connectRaw(t, proxy.port), await connectRaw(t, proxy.port)];
  begun.send(Buffer.from('1603010200010001', 'hex'));
  await Promise.all([silent.ended, begun.ended]);
  await eventually('it is counted', () => proxy.observer.failures.length > 0);
  t.strictSame(codesOf(proxy), ['request_timeout']);
});

onEachCarrier('the end waits for answers, not for handshakes', async (t, carrier) => {
  const { proxy } = await start(t, carrier);
  const begun = await connectRaw(t, proxy.port);
  begun.send(Buffer.from('1603010200010001', 'hex'));
  const idle: Socket = connect({ port: proxy.port, host: '127.0.0.1', ca: servers.cert });
  idle.on('error', () => undefined);
  await once(idle, 'secureConnect');
  const closed = Promise.all([begun.ended, once(idle.resume(), 'close')]);
  await proxy.close({ minDrainMs: 0, maxDrainMs: 60_000 });
  await closed;
  t.pass('both have ended');
});

onEachCarrier('an answer that breaks off is no whole one within TLS either', async (t, carrier) => {
  const { origin, proxy } = await start(t, carrier);
  for (const version of ['1.1', '1.0']) {
    const socket = connect({ port: proxy.port, host: '127.0.0.1', ca: servers.cert });
    socket.on('error', () => undefined);
    socket.write(`GET /broken HTTP/${version}\r\nHost: a\r\n\r\n`);
    await once(socket, 'data');
    const closed = once(socket.resume(), 'close');
    origin.requests.at(-1)?.connection.socket.destroy();
    await closed;
  }
  t.equal(proxy.observer.ends.filter(({ aborted }) => aborted).length, 2);
  t.equal(proxy.inFlight(), 0);
  t.match((await talk(t, proxy, get)).text, /^HTTP\/1\.1 204 /);
});
