// What a request gets of its credential: the token, a wait, an error with its code, the rule for a 401 and one replay.
import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import {
  codeOf,
  connectRaw,
  createFakeBearer,
  eventually,
  exchangeRaw,
  readBody,
  startProxy,
  startUpstream,
  statusOf,
  token,
} from './_proxy.ts';

const get = 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const post = (length: number): string =>
  `POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n`;

interface Seen {
  authorization: string | undefined;
  body: Buffer;
}

/** Answers 401 to every token but `accepted`, after the whole request, and remembers what came. */
function guarded(accepted: string, seen: Seen[]): RequestListener {
  return async (request, response) => {
    const { authorization } = request.headers;
    try {
      seen.push({ authorization, body: await readBody(request) });
    } catch {
      return;
    }
    if (authorization === `Bearer ${accepted}`) response.end('welcome');
    else response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end('who are you?');
  };
}

t.test('401 → one renewal → one replay, for GET and for a POST of 100 KiB', async (t) => {
  const body = randomBytes(100 * 1024);
  for (const request of [Buffer.from(get), Buffer.concat([Buffer.from(post(body.length)), body])]) {
    const seen: Seen[] = [];
    const upstream = await startUpstream(t, guarded('token-2', seen));
    const proxy = await startProxy(t, upstream.url);
    proxy.bearer.onRenewed = async () => token(2);
    const answer = await exchangeRaw(t, proxy.port, request);
    t.equal(statusOf(answer), 200);
    t.match(answer, /welcome/);
    t.same(
      seen.map(({ authorization }) => authorization),
      ['Bearer token-1', 'Bearer token-2'],
    );
    t.ok(seen[0]?.body.equals(seen[1]?.body ?? Buffer.alloc(1)), 'the same body twice');
    t.equal(seen[1]?.body.length, request.length > 1000 ? body.length : 0);
    t.same(proxy.bearer.refusals, [token(1)]);
    t.same(proxy.bearer.judged, [{ generation: 2, accepted: true }]);
    t.same(proxy.observer.replays, ['accepted']);
    t.match(proxy.observer.ends, [{ status: 200, aborted: false }]);
  }
});

t.test('a replay that is refused again passes unchanged: the second answer is final', async (t) => {
  const seen: Seen[] = [];
  const upstream = await startUpstream(t, guarded('never', seen));
  const proxy = await startProxy(t, upstream.url);
  proxy.bearer.onRenewed = async () => token(2);
  const answer = await exchangeRaw(t, proxy.port, get);
  t.match(answer, /^HTTP\/1\.1 401 [\s\S]*www-authenticate: Bearer error="invalid_token"[\s\S]*who are you\?/);
  t.equal(codeOf(answer), undefined);
  t.equal(seen.length, 2);
  t.same(proxy.bearer.judged, [{ generation: 2, accepted: false }]);
  t.same(proxy.observer.replays, ['refused_again']);
});

t.test('where there is nothing better, or the renewal fails, the 401 passes unchanged', async (t) => {
  const outcomes = [
    async () => undefined,
    async () => {
      throw new SidebearerError('grant_revoked');
    },
  ];
  for (const outcome of outcomes) {
    const seen: Seen[] = [];
    const upstream = await startUpstream(t, guarded('token-2', seen));
    const proxy = await startProxy(t, upstream.url);
    proxy.bearer.onRenewed = outcome;
    const answer = await exchangeRaw(t, proxy.port, get);
    t.match(answer, /^HTTP\/1\.1 401 [\s\S]*who are you\?/);
    t.equal(codeOf(answer), undefined);
    t.equal(seen.length, 1);
    t.same(proxy.bearer.judged, []);
    t.same(proxy.observer.replays, ['refresh_failed']);
    t.match(proxy.observer.ends, [{ status: 401, aborted: false, error: undefined }]);
  }
});

t.test('a large 401 body is held back by its upstream during the renewal and then passes whole', async (t) => {
  const body = Buffer.alloc(16 * 1024 * 1024, 'no ');
  let isSent = false;
  const upstream = await startUpstream(t, (_request, response) => {
    response.on('finish', () => {
      isSent = true;
    });
    response.writeHead(401, { 'content-length': body.length }).end(body);
  });
  const proxy = await startProxy(t, upstream.url);
  let settle: () => void = () => undefined;
  proxy.bearer.onRenewed = () => new Promise((resolve) => (settle = () => resolve(undefined)));
  const client = await connectRaw(t, proxy.port);
  client.send(get);
  await eventually('the renewal began', () => proxy.bearer.refusals.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(client.received(), '', 'nothing is told before the outcome');
  t.notOk(isSent, 'most of it waits at the upstream');
  settle();
  await client.ended;
  const answer = client.received();
  t.equal(answer.length - answer.indexOf('\r\n\r\n') - 4, body.length);
  t.ok(answer.endsWith(body.toString().slice(-1000)));
});

t.test('a large 401 body is discarded where the replay is accepted', async (t) => {
  let isCut = false;
  const upstream = await startUpstream(t, (request, response) => {
    if (request.headers.authorization === 'Bearer token-2') return void response.end('welcome');
    response.on('close', () => {
      isCut = !response.writableFinished;
    });
    response.writeHead(401).end(Buffer.alloc(16 * 1024 * 1024));
  });
  const proxy = await startProxy(t, upstream.url);
  proxy.bearer.onRenewed = async () => token(2);
  const answer = await exchangeRaw(t, proxy.port, get);
  t.match(answer, /^HTTP\/1\.1 200 [\s\S]*welcome/);
  t.ok(answer.length < 1000);
  await eventually('its connection was given up', () => isCut);
});

t.test(
  'a body beyond either bound cannot be replayed: the 401 passes, the renewal is asked for all the same',
  async (t) => {
    const bounds = [
      { route: { replayMaxBodyBytes: 50_000 } },
      { limits: { replayMemoryBytes: 50_000 } },
      { route: { replayMaxBodyBytes: 0 } },
    ];
    for (const bound of bounds) {
      const seen: Seen[] = [];
      const upstream = await startUpstream(t, guarded('token-2', seen));
      const proxy = await startProxy(t, upstream.url, bound);
      let isAborted = true;
      proxy.bearer.onRenewed = (_refused, signal) => {
        isAborted = signal.aborted;
        return new Promise(() => undefined);
      };
      const answer = await exchangeRaw(t, proxy.port, post(100_000) + 'x'.repeat(100_000));
      t.equal(statusOf(answer), 401);
      t.equal(seen[0]?.body.length, 100_000, 'it arrived whole');
      t.equal(proxy.bearer.refusals.length, 1);
      t.equal(isAborted, false);
      t.same(proxy.observer.replays, ['body_too_large']);
      t.same(proxy.bearer.judged, []);
    }
  },
);

t.test('the replay memory is given back: request after request may use all of it', async (t) => {
  const seen: Seen[] = [];
  const upstream = await startUpstream(t, guarded('token-2', seen));
  const proxy = await startProxy(t, upstream.url, { limits: { replayMemoryBytes: 60_000 } });
  proxy.bearer.onRenewed = async () => token(2);
  for (let i = 0; i < 5; i += 1) {
    const answer = await exchangeRaw(t, proxy.port, post(50_000) + 'x'.repeat(50_000));
    t.equal(statusOf(answer), 200);
  }
  t.same(proxy.observer.replays, Array(5).fill('accepted'));
});

t.test('the replay memory of a client that left is given back', async (t) => {
  let isSilent = true;
  let received = 0;
  const upstream = await startUpstream(t, async (request, response) => {
    try {
      received += (await readBody(request)).length;
    } catch {
      return;
    }
    if (isSilent) return;
    response.writeHead(request.headers.authorization === 'Bearer token-2' ? 200 : 401).end();
  });
  const proxy = await startProxy(t, upstream.url, { limits: { replayMemoryBytes: 60_000 } });
  proxy.bearer.onRenewed = async () => token(2);
  const client = await connectRaw(t, proxy.port);
  client.send(post(50_000) + 'x'.repeat(50_000));
  await eventually('it arrived', () => received === 50_000);
  client.socket.destroy();
  await eventually('it ended', () => proxy.inFlight() === 0);
  isSilent = false;
  t.equal(statusOf(await exchangeRaw(t, proxy.port, post(50_000) + 'x'.repeat(50_000))), 200);
});

t.test('a 401 that comes while the client still uploads is replayed with what came and what still comes', async (t) => {
  const bodies: string[] = [];
  const upstream = await startUpstream(t, async (request, response) => {
    if (request.headers.authorization === 'Bearer token-1') {
      request.on('error', () => undefined);
      request.once('data', () => response.writeHead(401).end('no'));
      return;
    }
    bodies.push((await readBody(request)).toString());
    response.end('welcome');
  });
  for (const headers of ['Transfer-Encoding: chunked', 'Content-Length: 12']) {
    const isChunked = headers.startsWith('T');
    const part = (text: string): string => (isChunked ? `${text.length.toString(16)}\r\n${text}\r\n` : text);
    const proxy = await startProxy(t, upstream.url);
    let settle: () => void = () => undefined;
    proxy.bearer.onRenewed = () => new Promise((resolve) => (settle = () => resolve(token(2))));
    const client = await connectRaw(t, proxy.port);
    client.send(`POST / HTTP/1.1\r\nHost: a\r\n${headers}\r\n\r\n${part('first ')}`);
    await eventually('the 401 came', () => proxy.bearer.refusals.length === 1);
    client.send(part('second') + (isChunked ? '0\r\n\r\n' : ''));
    await new Promise((resolve) => setTimeout(resolve, 20));
    settle();
    await client.until('welcome');
    t.equal(bodies.pop(), 'first second', headers);
    t.same(proxy.observer.replays, ['accepted']);
  }
});

t.test('while a 401 is held nothing more is read of an upload: a replay gets all of it, however large', async (t) => {
  const length = 3 * 1024 * 1024;
  let replayed = 0;
  const upstream = await startUpstream(t, async (request, response) => {
    if (request.headers.authorization === 'Bearer token-1') {
      request.on('error', () => undefined);
      request.once('data', () => response.writeHead(401).end('no'));
      return;
    }
    replayed = (await readBody(request)).length;
    response.end('welcome');
  });
  const proxy = await startProxy(t, upstream.url);
  let settle: () => void = () => undefined;
  proxy.bearer.onRenewed = () =>
    new Promise((resolve) => {
      settle = () => resolve(token(2));
    });
  const client = await connectRaw(t, proxy.port);
  client.send(`${post(length)}first`);
  await eventually('the 401 came', () => proxy.bearer.refusals.length === 1);
  client.send('x'.repeat(length - 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
  settle();
  await client.until('welcome');
  t.equal(replayed, length);
});

t.test('an expired token: the request waits, then goes with the new one', async (t) => {
  const seen: Seen[] = [];
  const upstream = await startUpstream(t, guarded('token-7', seen));
  const proxy = await startProxy(t, upstream.url);
  proxy.bearer.current = undefined;
  const client = await connectRaw(t, proxy.port);
  client.send(`${post(4)}body`);
  await eventually('it waits', () => proxy.bearer.waits.length === 1);
  t.equal(seen.length, 0);
  proxy.bearer.waits[0]?.resolve(token(7));
  await client.until('welcome');
  t.match(seen, [{ authorization: 'Bearer token-7' }]);
});

t.test('a client that leaves while it waits is dropped from the queue at once', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => response.end());
  const proxy = await startProxy(t, upstream.url);
  proxy.bearer.current = undefined;
  const client = await connectRaw(t, proxy.port);
  client.send(get);
  await eventually('it waits', () => proxy.bearer.waits.length === 1);
  client.socket.destroy();
  await eventually('the wait was aborted', () => proxy.bearer.waits[0]?.signal.aborted === true);
  t.equal(proxy.inFlight(), 0);
  t.match(proxy.observer.ends, [{ status: 0, aborted: true }]);
});

t.test('a client that leaves during the renewal of a 401 aborts only its own wait', async (t) => {
  let requests = 0;
  const upstream = await startUpstream(t, (_request, response) => {
    requests += 1;
    response.writeHead(401).end();
  });
  const proxy = await startProxy(t, upstream.url);
  let signal: AbortSignal | undefined;
  let settle: () => void = () => undefined;
  proxy.bearer.onRenewed = (_refused, departed) => {
    signal = departed;
    return new Promise((resolve) => (settle = () => resolve(token(2))));
  };
  const client = await connectRaw(t, proxy.port);
  client.send(get);
  await eventually('the renewal began', () => signal !== undefined);
  client.socket.destroy();
  await eventually('its wait was aborted', () => signal?.aborted === true);
  settle();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(requests, 1, 'nothing is replayed for nobody');
  t.same(proxy.observer.replays, []);
});

t.test(
  'a credential that cannot serve answers 503 with its code, and Retry-After only where waiting helps',
  async (t) => {
    const upstream = await startUpstream(t, (_request, response) => response.end());
    const cases: [error: unknown, status: number, code: string, retryAfter: string | undefined][] = [
      [new SidebearerError('access_token_expired', { retryAfterMs: 1 }), 503, 'access_token_expired', '1'],
      [new SidebearerError('breaker_open', { retryAfterMs: 29_001 }), 503, 'breaker_open', '30'],
      [new SidebearerError('grant_revoked'), 503, 'grant_revoked', undefined],
      [new SidebearerError('store_write_failed'), 503, 'store_write_failed', undefined],
      [new Error('secret text'), 500, 'internal_error', undefined],
    ];
    for (const [error, status, code, retryAfter] of cases) {
      for (const method of ['GET', 'HEAD']) {
        const proxy = await startProxy(t, upstream.url);
        proxy.bearer.current = undefined;
        const client = await connectRaw(t, proxy.port);
        client.send(`${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
        await eventually('it waits', () => proxy.bearer.waits.length === 1);
        proxy.bearer.waits[0]?.reject(error);
        await client.ended;
        const answer = client.received();
        t.equal(statusOf(answer), status);
        t.equal(codeOf(answer), code);
        t.equal(/^retry-after: (.*)\r$/im.exec(answer)?.[1], retryAfter);
        t.match(answer, /Content-Type: application\/problem\+json/);
        t.notMatch(answer, /secret/);
        if (method === 'HEAD') t.match(answer, /\r\n\r\n$/);
        else
          t.match(JSON.parse(answer.slice(answer.indexOf('{'))), {
            code,
            status,
            type: String,
            title: String,
            next: String,
            detail: String,
          });
      }
    }
  },
);

t.test('every header that is injected is exactly ours, look-alikes of the client are removed', async (t) => {
  let raw: string[] = [];
  const upstream = await startUpstream(t, (request, response) => {
    raw = request.rawHeaders;
    response.end();
  });
  const bearer = createFakeBearer(['authorization', 'chatgpt-account-id']);
  bearer.current = {
    credential: 'main',
    generation: 1,
    rawHeaders: ['authorization', 'Bearer t', 'chatgpt-account-id', 'mine'],
  };
  const proxy = await startProxy(t, upstream.url, { bearer });
  await exchangeRaw(
    t,
    proxy.port,
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: close, chatgpt-account-id\r\nChatGPT_Account-ID: x\r\nchatgpt-account-id: y\r\naUTHORIZATION: z\r\nX: 1\r\n\r\n',
  );
  t.same(raw.slice(4), ['X', '1', 'authorization', 'Bearer t', 'chatgpt-account-id', 'mine']);
});

t.test('requests beyond limits.inFlight get 503 overloaded at once, and their places come back', async (t) => {
  const open: (() => void)[] = [];
  const upstream = await startUpstream(t, (_request, response) => void open.push(() => response.end('done')));
  const proxy = await startProxy(t, upstream.url, { limits: { inFlight: 2 } });
  const first = await connectRaw(t, proxy.port);
  const second = await connectRaw(t, proxy.port);
  first.send(get);
  second.send(get);
  await eventually('two are at work', () => open.length === 2);
  const third = await exchangeRaw(t, proxy.port, get);
  t.equal(statusOf(third), 503);
  t.equal(codeOf(third), 'overloaded');
  t.match(third, /Retry-After: 1\r\n/);
  for (const end of open) end();
  await first.until('done');
  await second.until('done');
  open.length = 0;
  const fourth = await connectRaw(t, proxy.port);
  fourth.send(get);
  await eventually('it is at work', () => open.length === 1);
  t.equal(proxy.observer.inFlight, 1);
  t.equal(proxy.inFlight(), 1);
});
