// Requests and WebSocket handshakes over sockets to a pool of two: whose headers go, by which egress, what a 401 and a
// 429 do, and that answers pass as they came.
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { Authorization } from '../../src/credentials/bearer.ts';
import { createPool, type PoolMember } from '../../src/credentials/pool.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createCodexLimits } from '../../src/providers/codex-limits.ts';
import type { UpstreamLimit } from '../../src/providers/provider.ts';
import { startConnectProxy } from '../egress/_connect-proxy.ts';
import { openWay } from '../egress/_way.ts';
import {
  codeOf,
  connectRaw,
  createRoute,
  eventually,
  exchangeRaw,
  type ProxyUnderTest,
  type Scope,
  startProxy,
  startUpstream,
  statusOf,
} from './_proxy.ts';

const get = 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Only-A: mine\r\nX-Only-B: mine\r\n\r\n';
const handshake =
  'GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

interface Member extends PoolMember {
  isUsable: boolean;
  onRenewed: () => Promise<Authorization | undefined>;
  readonly rests: UpstreamLimit[];
  readonly judged: string[];
}

function createMember(name: 'a' | 'b'): Member {
  const own = `X-Only-${name.toUpperCase()}`;
  const authorization: Authorization = {
    credential: name,
    generation: 1,
    rawHeaders: ['Authorization', `Bearer token-${name}`, own, name],
  };
  const member: Member = {
    name,
    injectedNames: ['authorization', own.toLowerCase()],
    limits: createCodexLimits(systemClock),
    isUsable: true,
    onRenewed: async () => undefined,
    rests: [],
    judged: [],
    authorization: () => (member.isUsable ? authorization : undefined),
    wait: () => Promise.reject(new SidebearerError('grant_absent', { credential: name, retryAfterMs: 5_000 })),
    renewed: () => member.onRenewed(),
    replayed: (_sent, accepted) => void member.judged.push(`${name} ${accepted}`),
    reluctance: () => (member.rests.length > 0 ? 3 : 0),
    need: () => ({ kind: 'fail', code: 'grant_absent', retryAfterMs: 5_000 }),
    rest: (limit) => void member.rests.push(limit),
  };
  return member;
}

interface Pooled {
  readonly a: Member;
  readonly b: Member;
  readonly proxy: ProxyUnderTest;
}

async function startPool(
  scope: Scope,
  upstream: string,
  change: Parameters<typeof createRoute>[2] = {},
): Promise<Pooled> {
  const [a, b] = [createMember('a'), createMember('b')];
  const bearer = createPool({
    members: [a, b],
    choice: 'order',
    restsOnLimit: true,
    waitMs: 1_000,
    clock: systemClock,
  });
  const proxy = await startProxy(scope, upstream, { routes: () => [createRoute(upstream, bearer, change)] });
  return { a, b, proxy };
}

/** What the upstream saw of each request: token and the headers that one member alone injects. */
function seenBy(seen: string[], answer: (response: ServerResponse, token: string) => void): RequestListener {
  return (request, response) => {
    const { authorization = '' } = request.headers;
    seen.push([authorization, request.headers['x-only-a'], request.headers['x-only-b']].join(' '));
    answer(response, authorization.replace('Bearer token-', ''));
  };
}

t.test('the headers of one member never go with another’s, and a client can pass off neither’s', async (t) => {
  const seen: string[] = [];
  const upstream = await startUpstream(
    t,
    seenBy(seen, (response) => response.end('well')),
  );
  const { a, b, proxy } = await startPool(t, upstream.url);
  await exchangeRaw(t, proxy.port, get);
  a.isUsable = false;
  await exchangeRaw(t, proxy.port, get);
  t.strictSame(seen, ['Bearer token-a a ', 'Bearer token-b  b']);
  b.isUsable = false;
  const answer = await exchangeRaw(t, proxy.port, get);
  t.strictSame([statusOf(answer), codeOf(answer)], [503, 'grant_absent']);
  t.match(answer, /^retry-after: 5\r$/im);
  t.equal(seen.length, 2);
});

t.test('401 → its member’s refresh fails → one replay with the next, with that one’s headers alone', async (t) => {
  for (const outcome of ['nothing better', 'failure'] as const) {
    const seen: string[] = [];
    const upstream = await startUpstream(
      t,
      seenBy(seen, (response, token) => {
        if (token === 'b') response.end('welcome');
        else response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end();
      }),
    );
    const { a, b, proxy } = await startPool(t, upstream.url);
    if (outcome === 'failure') a.onRenewed = () => Promise.reject(new SidebearerError('refresh_wait_timeout'));
    t.equal(statusOf(await exchangeRaw(t, proxy.port, get)), 200);
    t.strictSame(seen, ['Bearer token-a a ', 'Bearer token-b  b']);
    t.strictSame([a.judged, b.judged], [[], ['b true']]);
    t.same(proxy.observer.replays, ['accepted']);
    t.strictSame(proxy.observer.challenges, ['a invalid_token']);
    t.equal(statusOf(await exchangeRaw(t, proxy.port, get)), 200);
    t.equal(seen.length, 3, 'the refused one is not tried again');
  }
});

t.test('a handshake obeys the same rule', async (t) => {
  const seen: (string | undefined)[] = [];
  const server = createServer();
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    seen.push([request.headers.authorization, request.headers['x-only-a'], request.headers['x-only-b']].join(' '));
    socket.resume();
    socket.on('error', () => undefined);
    socket.on('end', () => socket.end());
    if (request.headers.authorization === 'Bearer token-b') {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello');
    } else
      socket.end(
        'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=invalid_token\r\nContent-Length: 0\r\n\r\n',
      );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  const { b, proxy } = await startPool(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const client = await connectRaw(t, proxy.port);
  client.send(handshake);
  await client.until('hello');
  t.strictSame(seen, ['Bearer token-a a ', 'Bearer token-b  b']);
  t.strictSame(b.judged, ['b true']);
  t.strictSame(proxy.observer.challenges, ['a invalid_token']);
  b.isUsable = false;
  client.send('more');
  t.notOk(client.socket.destroyed, 'an open WebSocket stays where it is');
  client.socket.destroy();
  await eventually('it is over', () => proxy.observer.upgrades === 0);
});

t.test('each member’s requests and handshakes leave by its own egress', async (t) => {
  const heads: string[] = [];
  const server = createServer((request, response) => {
    heads.push(request.headers.authorization ?? '');
    response.end('well');
  });
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    heads.push(request.headers.authorization ?? '');
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  const { port } = server.address() as AddressInfo;
  const origin = 'http://upstream.example:8000';
  const [first, second] = [
    await startConnectProxy(t, { ways: { 'upstream.example:8000': port } }),
    await startConnectProxy(t, { ways: { 'upstream.example:8000': port } }),
  ];
  const waysOfMembers = new Map([
    ['a', await openWay(t, { proxy: first.url })],
    ['b', await openWay(t, { proxy: second.url })],
  ]);
  const { a, proxy } = await startPool(t, origin, { waysOfMembers });
  const counts = (): number[] => [first.heads.length, second.heads.length];
  await exchangeRaw(t, proxy.port, get);
  t.strictSame(counts(), [1, 0]);
  await exchangeRaw(t, proxy.port, handshake);
  t.strictSame(counts(), [2, 0]);
  a.isUsable = false;
  await exchangeRaw(t, proxy.port, get);
  t.strictSame(counts(), [2, 1]);
  await exchangeRaw(t, proxy.port, handshake);
  t.strictSame(counts(), [2, 2]);
  t.strictSame(
    heads,
    ['a', 'a', 'b', 'b'].map((name) => `Bearer token-${name}`),
  );
});

// --- limits ---------------------------------------------------------------------------------------------------------

t.test('a 429 passes unchanged, and the next request goes to the other member', async (t) => {
  const seen: string[] = [];
  const upstream = await startUpstream(
    t,
    seenBy(seen, (response, token) => {
      if (token === 'b') response.end('well');
      else response.writeHead(429, { 'retry-after': '120', 'x-own': 'kept' }).end('slow down');
    }),
  );
  const { a, proxy } = await startPool(t, upstream.url);
  const answer = await exchangeRaw(t, proxy.port, get);
  t.match(answer, /^HTTP\/1\.1 429 [\s\S]*retry-after: 120\r[\s\S]*x-own: kept\r[\s\S]*slow down/);
  t.equal(codeOf(answer), undefined);
  t.equal(seen.length, 1, 'no replay');
  t.strictSame(a.rests, [{ isQuota: false, forMs: 120_000 }]);
  t.equal(statusOf(await exchangeRaw(t, proxy.port, get)), 200);
});

t.test('what the body tells is read in passing: nothing is held back, changed or lost', async (t) => {
  const body = JSON.stringify({
    error: { type: 'usage_limit_reached', resets_in_seconds: 600 },
    pad: 'x'.repeat(3000),
  });
  let finish: () => void = () => undefined;
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(429, { 'content-type': 'application/json', 'content-length': body.length });
    response.write(body.slice(0, 100));
    finish = () => response.end(body.slice(100));
  });
  const { a, proxy } = await startPool(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send(get);
  await client.until(body.slice(0, 100));
  t.strictSame(a.rests, [{ isQuota: false }], 'the head alone is enough for a rest');
  finish();
  await client.ended;
  t.ok(client.received().endsWith(`\r\n\r\n${body}`));
  t.strictSame(a.rests.slice(1), [{ isQuota: true, forMs: 600_000 }]);
});

t.test('bodies that tell nothing: too long, cut, packed, no JSON; each passes whole', async (t) => {
  const limit = { error: { code: 'insufficient_quota', resets_in_seconds: 600 } };
  const text = JSON.stringify(limit);
  const long = JSON.stringify({ ...limit, pad: 'x'.repeat(64 * 1024) });
  const table: [what: string, headers: Record<string, string>, body: Buffer][] = [
    ['too long', { 'content-type': 'application/json' }, Buffer.from(long)],
    ['cut', { 'content-type': 'application/json' }, Buffer.from(text.slice(0, -1))],
    ['packed', { 'content-type': 'application/json', 'content-encoding': 'gzip' }, gzipSync(text)],
    ['no JSON', { 'content-type': 'text/plain' }, Buffer.from(text)],
    ['empty', { 'content-type': 'application/json' }, Buffer.alloc(0)],
  ];
  for (const [what, headers, body] of table) {
    const upstream = await startUpstream(t, (_request, response) => {
      response.writeHead(403, { ...headers, 'content-length': body.length }).end(body);
    });
    const { a, proxy } = await startPool(t, upstream.url);
    const answer = await exchangeRaw(t, proxy.port, get);
    t.ok(answer.endsWith(`\r\n\r\n${body.toString('latin1')}`), what);
    t.strictSame(a.rests, [], what);
  }
});

t.test('a handshake that is answered 429 lets its member rest, too', async (t) => {
  const body = JSON.stringify({ error: { type: 'usage_limit_reached', resets_in_seconds: 600 } });
  const server = createServer();
  server.on('upgrade', (_request, socket: Socket) => {
    socket.end(
      `HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  const { a, proxy } = await startPool(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const answer = await exchangeRaw(t, proxy.port, handshake);
  t.ok(answer.endsWith(`\r\n\r\n${body}`));
  t.strictSame(a.rests, [{ isQuota: false }, { isQuota: true, forMs: 600_000 }]);
});

t.test(
  '403, insufficient_scope or not, asks for no renewal; its reason is told by one word of a closed list',
  async (t) => {
    const upstream = await startUpstream(t, (_request, response) => {
      response.writeHead(403, { 'www-authenticate': 'Bearer error="insufficient_scope", scope="all"' }).end('no');
    });
    const { a, proxy } = await startPool(t, upstream.url);
    let renewals = 0;
    a.onRenewed = async () => {
      renewals += 1;
      return undefined;
    };
    t.match(await exchangeRaw(t, proxy.port, get), /^HTTP\/1\.1 403 [\s\S]*no/);
    t.equal(renewals, 0);
    t.strictSame(proxy.observer.challenges, ['a insufficient_scope']);
    t.strictSame(proxy.observer.replays, []);
  },
);
