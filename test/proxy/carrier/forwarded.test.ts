// What a route tells its upstream about the way a request took, and that a client can neither hide nor forge our part.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectH2 } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { ListenAddress } from '../../../src/listen.ts';
import type { ForwardingOptions } from '../../../src/proxy/forwarding.ts';
import { exchangeRaw, statusOf, token } from '../_proxy.ts';
import { type Carrier, onEachCarrier } from './_carriers.ts';
import { type Origin, startOrigin } from './_origin.ts';

const upgraded = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

/** Everything that tells of a way, as it reached the upstream. */
function wayOf(origin: Origin): readonly string[] {
  return (origin.requests.at(-1)?.headers ?? []).filter((line) => /^(x[-_])?(forwarded|via)/i.test(line));
}

async function start(t: Test, carrier: Carrier, forwarding: ForwardingOptions | undefined, address?: ListenAddress) {
  const origin = await startOrigin(t, ({ head }) =>
    /^upgrade: websocket$/im.test(head) ? upgraded : 'HTTP/1.1 204 No Content\r\n\r\n',
  );
  const route = forwarding === undefined ? {} : { forwarding };
  const proxy = await carrier.start(t, origin.url, { route, ...(address !== undefined && { address }) });
  return { origin, proxy };
}

const off: ForwardingOptions = { forwarded: 'none', via: false };
const forwarded: ForwardingOptions = { forwarded: 'forwarded', via: false };
const xForwarded: ForwardingOptions = { forwarded: 'x-forwarded', via: false };
const via: ForwardingOptions = { forwarded: 'none', via: true };

const cases: readonly {
  readonly title: string;
  readonly options: ForwardingOptions;
  readonly sent: readonly string[];
  readonly arrived: readonly string[];
}[] = [
  {
    title: 'off, the client’s own pass unchanged, look-alikes and mistakes included',
    options: off,
    sent: ['Forwarded: for="a', 'x-forwarded-for: 1.1.1.1', 'X_Forwarded_For: 2', 'Via: (', 'X-Forwarded-Proto: x'],
    arrived: ['Forwarded: for="a', 'x-forwarded-for: 1.1.1.1', 'X_Forwarded_For: 2', 'Via: (', 'X-Forwarded-Proto: x'],
  },
  {
    title: 'Forwarded tells address, host and scheme',
    options: forwarded,
    sent: [],
    arrived: ['Forwarded: for=127.0.0.1;host=a.test;proto=http'],
  },
  {
    title: 'Forwarded is appended to the client’s own, in order and on one line',
    options: forwarded,
    sent: ['forwarded: for=1.1.1.1;by="[2001:db8::1]:80", for=_x', 'Forwarded:', 'FORWARDED: for="q\\",\\\\"'],
    arrived: [
      'Forwarded: for=1.1.1.1;by="[2001:db8::1]:80", for=_x, for="q\\",\\\\", for=127.0.0.1;host=a.test;proto=http',
    ],
  },
  ...['for="a', 'for="a\\"', 'for=a"b', 'for="a"b', 'for=\\"a', 'for="a", "'].map((value) => ({
    title: `a Forwarded that would swallow ours is left out: ${value}`,
    options: forwarded,
    sent: [`Forwarded: ${value}`],
    arrived: ['Forwarded: for=127.0.0.1;host=a.test;proto=http'],
  })),
  {
    title: 'with Forwarded the client’s X-Forwarded-For passes, a look-alike of Forwarded does not',
    options: forwarded,
    sent: ['X-Forwarded-For: 1.1.1.1', 'Connection: Forwarded', 'Forwarded: for=1.1.1.1'],
    arrived: ['X-Forwarded-For: 1.1.1.1', 'Forwarded: for=127.0.0.1;host=a.test;proto=http'],
  },
  {
    title: 'X-Forwarded-For is appended, host and scheme are replaced, look-alikes are dropped',
    options: xForwarded,
    sent: [
      'x-forwarded-for: 1.1.1.1, 2.2.2.2',
      'X-FORWARDED-FOR: 3.3.3.3',
      'X_Forwarded_For: 4.4.4.4',
      'X-Forwarded-Host: evil.test',
      'X_forwarded-host: evil.test',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Port: 1',
      'Forwarded: for=1.1.1.1',
    ],
    arrived: [
      'X-Forwarded-Port: 1',
      'Forwarded: for=1.1.1.1',
      'X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1',
      'X-Forwarded-Host: a.test',
      'X-Forwarded-Proto: http',
    ],
  },
  { title: 'Via tells protocol and a fixed name', options: via, sent: [], arrived: ['Via: 1.1 sidebearer'] },
  {
    title: 'Via is appended to the client’s own',
    options: via,
    sent: ['Via: 1.0 fred (a \\) b)', 'via: HTTP/2 p.example:80'],
    arrived: ['Via: 1.0 fred (a \\) b), HTTP/2 p.example:80, 1.1 sidebearer'],
  },
  ...['1.0 a (', '1.0 a (b\\)', '1.0 a )', '1.0 a \\('].map((value) => ({
    title: `a Via that would swallow ours is left out: ${value}`,
    options: via,
    sent: [`Via: ${value}`],
    arrived: ['Via: 1.1 sidebearer'],
  })),
  {
    title: 'all at once',
    options: { forwarded: 'forwarded', via: true },
    sent: [],
    arrived: ['Forwarded: for=127.0.0.1;host=a.test;proto=http', 'Via: 1.1 sidebearer'],
  },
];

for (const { title, options, sent, arrived } of cases) {
  onEachCarrier(title, async (t, carrier) => {
    const { origin, proxy } = await start(t, carrier, options);
    const lines = sent.map((line) => `${line}\r\n`).join('');
    const answer = await exchangeRaw(
      t,
      proxy.port,
      `GET / HTTP/1.1\r\nHost: a.test\r\n${lines}Connection: close\r\n\r\n`,
    );
    t.equal(statusOf(answer), 204);
    t.strictSame(wayOf(origin), arrived);
    t.ok(origin.requests[0]?.headers.includes('Authorization: Bearer token-1'));
  });
}

const hosts: readonly (readonly [title: string, head: string, told: string])[] = [
  ['a port needs quotes', 'GET / HTTP/1.1\r\nHost: a.test:8080', 'host="a.test:8080";proto=http'],
  ['an IPv6 literal needs quotes', 'GET / HTTP/1.1\r\nHost: [2001:db8::1]', 'host="[2001:db8::1]";proto=http'],
  ['a target outranks the Host', 'GET http://b.test:1/ HTTP/1.1\r\nHost: a.test', 'host="b.test:1";proto=http'],
  ['HTTP/1.0 may have none', 'GET / HTTP/1.0', 'proto=http'],
];

for (const [title, head, told] of hosts) {
  onEachCarrier(`the host in Forwarded: ${title}`, async (t, carrier) => {
    const { origin, proxy } = await start(t, carrier, { forwarded: 'forwarded', via: true });
    await exchangeRaw(t, proxy.port, `${head}\r\nConnection: close\r\n\r\n`);
    const version = head.includes('HTTP/1.0') ? '1.0' : '1.1';
    t.strictSame(wayOf(origin), [`Forwarded: for=127.0.0.1;${told}`, `Via: ${version} sidebearer`]);
  });
}

onEachCarrier('an IPv6 client is quoted in Forwarded and bare in X-Forwarded-For', async (t, carrier) => {
  for (const [options, told] of [
    [forwarded, ['Forwarded: for="[::1]";host=a;proto=http']],
    [xForwarded, ['X-Forwarded-For: ::1', 'X-Forwarded-Host: a', 'X-Forwarded-Proto: http']],
  ] as const) {
    const { origin, proxy } = await start(t, carrier, options, { host: '::1', port: 0 });
    const socket = connect(proxy.port, '::1');
    socket.end('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await once(socket.resume(), 'close');
    t.strictSame(wayOf(origin), told);
  }
});

onEachCarrier('an IPv4 client of a socket for both families is told as IPv4', async (t, carrier) => {
  const { origin, proxy } = await start(t, carrier, forwarded, { host: '::', port: 0 });
  await exchangeRaw(t, proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  t.strictSame(wayOf(origin), ['Forwarded: for=127.0.0.1;host=a;proto=http']);
});

onEachCarrier('a client of a unix socket has no address', async (t, carrier) => {
  // A socket's path has 107 bytes at most, which the folder of a test's own may exceed.
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'proxy.sock');
  for (const [options, told] of [
    [forwarded, 'Forwarded: for=unknown;host=a;proto=http'],
    [xForwarded, 'X-Forwarded-For: unknown'],
  ] as const) {
    const { origin, proxy } = await start(t, carrier, options, { path });
    const socket = connect(path);
    socket.end('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await once(socket.resume(), 'close');
    t.equal(wayOf(origin)[0], told);
    await proxy.close();
  }
});

onEachCarrier('a WebSocket handshake and a request of HTTP/2 tell it as well', async (t, carrier) => {
  const { origin, proxy } = await start(t, carrier, { forwarded: 'forwarded', via: true });
  const socket = connect(proxy.port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.write(
    'GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=1.1.1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await once(socket, 'data');
  t.strictSame(wayOf(origin), ['Forwarded: for=1.1.1.1, for=127.0.0.1;host=a;proto=http', 'Via: 1.1 sidebearer']);

  const session = connectH2(`http://127.0.0.1:${proxy.port}`);
  t.teardown(() => session.destroy());
  const stream = session.request({ ':path': '/', ':authority': 'b.test' });
  await once(stream.resume(), 'end');
  t.strictSame(wayOf(origin), ['Forwarded: for=127.0.0.1;host=b.test;proto=http', 'Via: 2.0 sidebearer']);
});

onEachCarrier('a replay after a 401 tells it once', async (t, carrier) => {
  const origin = await startOrigin(t, ({ head }) =>
    head.includes('token-2') ? 'HTTP/1.1 204 No Content\r\n\r\n' : 'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n',
  );
  const proxy = await carrier.start(t, origin.url, { route: { forwarding: { forwarded: 'x-forwarded', via: true } } });
  proxy.bearer.onRenewed = async () => token(2);
  await exchangeRaw(
    t,
    proxy.port,
    'GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 x\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close\r\n\r\n',
  );
  t.equal(origin.requests.length, 2);
  t.strictSame(wayOf(origin), [
    'X-Forwarded-For: 9.9.9.9, 127.0.0.1',
    'X-Forwarded-Host: a',
    'X-Forwarded-Proto: http',
    'Via: 1.0 x, 1.1 sidebearer',
  ]);
});
