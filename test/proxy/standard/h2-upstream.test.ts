// HTTP/2 towards the upstream, by ALPN over TLS, as clients of HTTP/1.1 and HTTP/2 see it.
import { constants, type ServerHttp2Stream } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import t from 'tap';
import type { AnswerListener, Attempt } from '../../../src/proxy/message.ts';
import { H2Attempt } from '../../../src/proxy/standard/h2-attempt.ts';
import { createNegotiatedUpstream } from '../../../src/proxy/standard/negotiated-upstream.ts';
import {
  codeOf,
  connectRaw,
  eventually,
  exchangeRaw,
  startProxy,
  startRawUpstream,
  statusOf,
  token,
} from '../_proxy.ts';
import { answerOf, authority, byAlpn, connectH2, request, startH2cUpstream, startH2Upstream } from './_h2.ts';

const get = 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

function post(body: string, extra = ''): string {
  return `POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${extra}Content-Length: ${body.length}\r\n\r\n${body}`;
}

function read(stream: ServerHttp2Stream, done: (body: string) => void): void {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () => done(Buffer.concat(chunks).toString('latin1')));
}

/** Resolves once the number has stayed the same for a while. */
async function standstill(number: () => number): Promise<void> {
  for (let last = -1; last !== number(); ) {
    last = number();
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}

/** A server that writes frames by hand: what a proper one would not do at the right moment. */
function frame(type: number, flags: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

function numbers(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) buffer.writeUInt32BE(value, i * 4);
  return buffer;
}

const OK_HEADERS = Buffer.from([0x88]);
const SETTINGS = frame(4, 0, 0);
const SETTINGS_ACK = frame(4, 1, 0);

/** Calls back with each HEADERS frame of a request. */
function onRequest(socket: Socket, callback: (id: number, connectionBytes: Buffer) => void): void {
  let seen = Buffer.alloc(0);
  let isBegun = false;
  socket.write(SETTINGS);
  socket.on('data', (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk]);
    if (!isBegun && seen.length >= 24) {
      isBegun = true;
      seen = seen.subarray(24);
    }
    while (isBegun && seen.length >= 9 && seen.length >= 9 + seen.readUIntBE(0, 3)) {
      const length = seen.readUIntBE(0, 3);
      const type = seen.readUInt8(3);
      const id = seen.readUInt32BE(5);
      if (type === 4 && seen.readUInt8(4) === 0) socket.write(SETTINGS_ACK);
      seen = seen.subarray(9 + length);
      if (type === 1) callback(id, seen);
    }
  });
}

t.test('an upstream that chooses h2 by ALPN gets HTTP/2, with the token, headers in order and unmerged', async (t) => {
  let seen: readonly string[] = [];
  const upstream = await startH2Upstream(t, (stream, _headers, rawHeaders) => {
    seen = rawHeaders;
    stream.respond({ ':status': 200, 'x-one': ['1', '\xe9'], 'set-cookie': ['a=1', 'b=2'], 'sidebearer-error': 'no' }, {
      sendDate: false,
    } as object);
    stream.end('ok');
  });
  const proxy = await startProxy(t, `${upstream.url}/base`, { route: await byAlpn(t) });
  const answer = await exchangeRaw(
    t,
    proxy.port,
    'GET /a%2Fb//c?x=%zz HTTP/1.1\r\nHost: somewhere\r\nX-B: 1\r\nX-A: 3\r\nx-b: \xfc2\r\nAUTHORIZATION: Basic Zm9v\r\nKeep-Alive: 5\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n',
  );
  t.strictSame(seen, [
    ':method',
    'GET',
    ':scheme',
    'https',
    ':authority',
    new URL(upstream.url).host,
    ':path',
    '/base/a%2Fb//c?x=%zz',
    'x-b',
    '1',
    'x-b',
    '\xfc2',
    'x-a',
    '3',
    'authorization',
    'Bearer token-1',
    'te',
    'trailers',
  ]);
  t.strictSame(answer.split('\r\n').slice(0, 5), [
    'HTTP/1.1 200 OK',
    'x-one: 1',
    'x-one: \xe9',
    'set-cookie: a=1',
    'set-cookie: b=2',
  ]);
  t.notMatch(answer, /sidebearer-error/i);
  t.match(answer, /\r\n\r\n2\r\nok\r\n0\r\n\r\n$/);
  for (let i = 0; i < 3; i += 1) t.equal(statusOf(await exchangeRaw(t, proxy.port, get)), 200);
  t.equal(upstream.connections, 1, 'all on one connection');
});

t.test('an upstream that chooses http/1.1 gets HTTP/1.1 on the connection that asked', async (t) => {
  const server = createTlsServer(
    { ...authority.issue({ addresses: ['127.0.0.1'] }), ALPNProtocols: ['http/1.1'] },
    (incoming, response) => {
      response.end(`${incoming.httpVersion} ${incoming.headers.authorization}`);
    },
  );
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const proxy = await startProxy(t, `https://127.0.0.1:${port}`, { route: await byAlpn(t) });
  t.match(await exchangeRaw(t, proxy.port, get), /1\.1 Bearer token-1/);
  t.equal(connections, 1);
  const answers = await Promise.all([1, 2, 3].map(() => exchangeRaw(t, proxy.port, get)));
  for (const answer of answers) t.match(answer, /1\.1 Bearer token-1/);
  const before = connections;
  t.match(await exchangeRaw(t, proxy.port, post('x')), /1\.1 Bearer/);
  t.equal(connections, before, 'a pooled connection served');
  t.ok(before <= 3, 'no connection besides those that requests used');
  t.match(await exchangeRaw(t, proxy.port, post('x'.repeat(100_000))), /1\.1 Bearer/);
});

t.test('requests that wait for the first connection all go over it, and none that left meanwhile', async (t) => {
  const paths: (string | undefined)[] = [];
  const server = await startH2cUpstream(t, (stream, headers) => {
    paths.push(headers[':path']);
    stream.respond();
    stream.end();
  });
  const origin = new URL(server.url);
  const asked: ((error: Error | null, socket?: Socket) => void)[] = [];
  const upstream = createNegotiatedUpstream({
    origin,
    timeouts: { headersMs: 0, idleMs: 0 },
    maxHeadBytes: 65_536,
    connect: (opened) => asked.push(opened),
    http1: undefined,
  });
  t.teardown(() => upstream.destroy());
  const reports: string[] = [];
  const listener: AnswerListener = {
    bodyWanted: () => undefined,
    interim: () => undefined,
    answered: () => undefined,
    received: () => undefined,
    ended: () => void reports.push('ended'),
    failed: (_attempt, error, stage) => void reports.push(`${error.code} ${stage}`),
  };
  const start = (path: string): Attempt => {
    const attempt = upstream.createAttempt({ method: 'GET', path, rawHeaders: [], hasBody: false }, listener);
    attempt.start();
    return attempt;
  };
  start('/1');
  start('/2').abort();
  start('/3');
  t.equal(asked.length, 1);
  asked[0]?.(null, connectTcp(Number(origin.port), '127.0.0.1'));
  await eventually('both were answered', () => reports.length === 2);
  t.strictSame(reports, ['ended', 'ended']);
  t.strictSame(paths, ['/1', '/3']);
  t.equal(asked.length, 1);
  // And where there is none, all that wait fail with nothing sent.
  for (const session of server.sessions) session.destroy();
  await eventually('the connection is gone', () => {
    const attempt = upstream.createAttempt({ method: 'GET', path: '/', rawHeaders: [], hasBody: false }, listener);
    return !(attempt instanceof H2Attempt);
  });
  start('/4');
  start('/5');
  asked[1]?.(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
  t.strictSame(reports.slice(2), ['upstream_unreachable connecting', 'upstream_unreachable connecting']);
});

t.test('with http2 never the same upstream gets HTTP/1.1', async (t) => {
  const upstream = await startH2Upstream(t, () => t.fail('HTTP/2'), { allowHTTP1: true });
  upstream.server.on('request', (incoming, response) => {
    if (incoming.httpVersion === '1.1') response.end('old');
  });
  const proxy = await startProxy(t, upstream.url, { route: { ...(await byAlpn(t)), http2: 'never' } });
  t.match(await exchangeRaw(t, proxy.port, get), /old/);
});

t.test('with http2 prior-knowledge a plain upstream gets HTTP/2', async (t) => {
  const upstream = await startH2cUpstream(t, (stream, headers) => {
    stream.respond();
    stream.end(`${headers[':scheme']} ${headers.authorization}`);
  });
  const proxy = await startProxy(t, upstream.url, { route: { http2: 'prior-knowledge' } });
  t.match(await exchangeRaw(t, proxy.port, get), /http Bearer token-1/);
});

t.test('more requests than one connection carries share several', async (t) => {
  const streams: ServerHttp2Stream[] = [];
  const upstream = await startH2Upstream(t, (stream) => streams.push(stream), {
    settings: { maxConcurrentStreams: 5 },
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  const session = await connectH2(t, proxy.port);
  const first = request(session, {});
  await eventually('the first one is there', () => streams.length === 1);
  const others = Array.from({ length: 11 }, () => request(session, {}));
  await eventually('all are at work', () => streams.length === 12);
  t.equal(upstream.connections, 3);
  for (const stream of streams) {
    stream.respond();
    stream.end();
  }
  for (const answer of await Promise.all([first, ...others])) t.equal(answer.status, 200);
});

t.test('bodies of any size cross both ways', async (t) => {
  const upstream = await startH2Upstream(t, (stream) => {
    stream.respond();
    stream.pipe(stream);
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  const body = 'abcdefg'.repeat(400_000);
  const answer = await exchangeRaw(t, proxy.port, post(body));
  t.equal(answer.slice(answer.indexOf('\r\n\r\n')).replace(/\r\n[0-9a-f]+\r\n|\r\n/g, '').length, body.length);
  const session = await connectH2(t, proxy.port);
  t.equal((await request(session, { ':method': 'POST' }, body)).body, body);
});

t.test('an answer that is held back keeps every byte although its trailers came', async (t) => {
  const body = Buffer.alloc(200_000, 'x');
  const upstream = await startH2Upstream(t, (stream) => {
    stream.respond({}, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(body);
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  const session = await connectH2(t, proxy.port);
  const stream = session.request({});
  stream.on('data', () => {
    stream.pause();
    setTimeout(() => stream.resume(), 2);
  });
  const answer = await answerOf(stream);
  t.equal(answer.body.length, body.length);
  t.equal(answer.trailers?.['grpc-status'], '0');
});

t.test('a stalled reader holds an upstream of HTTP/2 back', async (t) => {
  let written = 0;
  const upstream = await startH2Upstream(t, (stream) => {
    stream.respond();
    const more = (): void => {
      while (written < 128 * 1024 * 1024 && !stream.destroyed) {
        written += 65_536;
        if (!stream.write(Buffer.alloc(65_536))) {
          stream.once('drain', more);
          return;
        }
      }
    };
    more();
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  const client = await connectRaw(t, proxy.port);
  client.socket.pause();
  client.send(get);
  await eventually('it began', () => written > 0);
  await standstill(() => written);
  t.ok(written < 16 * 1024 * 1024, `${written}`);
  client.socket.destroy();
  await eventually('nothing is left', () => proxy.inFlight() === 0);
});

t.test('interim answers and trailers reach clients of HTTP/1.1 and HTTP/2', async (t) => {
  const upstream = await startH2Upstream(t, (stream) => {
    stream.additionalHeaders({ ':status': 103, link: '</a.css>' });
    stream.respond({}, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '7' }));
    stream.end('abc');
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  t.match(
    await exchangeRaw(t, proxy.port, get),
    /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a\.css>\r\n\r\nHTTP\/1\.1 200 OK[\s\S]*\r\n0\r\nx-sum: 7\r\n\r\n$/,
  );
  const answer = await request(await connectH2(t, proxy.port), {});
  t.strictSame(answer.interim, [103]);
  t.equal(answer.trailers?.['x-sum'], '7');
});

t.test('a 401 is renewed and replayed over HTTP/2, with the body', async (t) => {
  const seen: string[] = [];
  const upstream = await startH2Upstream(t, (stream, headers) => {
    read(stream, (body) => {
      seen.push(`${headers.authorization} ${body}`);
      stream.respond({ ':status': headers.authorization === 'Bearer token-2' ? 200 : 401 });
      stream.end(`for ${headers.authorization}`);
    });
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  proxy.bearer.onRenewed = async () => token(2);
  t.match(await exchangeRaw(t, proxy.port, post('body')), /200 OK[\s\S]*for Bearer token-2/);
  t.strictSame(seen, ['Bearer token-1 body', 'Bearer token-2 body']);
  t.strictSame(proxy.observer.replays, ['accepted']);
  const over = await request(await connectH2(t, proxy.port), { ':method': 'POST' }, 'again');
  t.equal(over.status, 200);
  t.equal(over.body, 'for Bearer token-2');
});

t.test('a stream that the upstream refuses is repeated once, POST, too', async (t) => {
  let count = 0;
  const upstream = await startH2Upstream(t, (stream) => {
    count += 1;
    if (count === 1) return stream.close(constants.NGHTTP2_REFUSED_STREAM);
    return read(stream, (body) => {
      stream.respond();
      stream.end(`got ${body}`);
    });
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  t.match(await exchangeRaw(t, proxy.port, post('body')), /200 OK[\s\S]*got body/);
  t.equal(count, 2);
});

t.test(
  'a stream that is refused twice is 502 `upstream_closed`, and one whose body is gone is not repeated',
  async (t) => {
    let count = 0;
    const upstream = await startH2Upstream(t, (stream) => {
      count += 1;
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
    });
    const proxy = await startProxy(t, upstream.url, { route: { ...(await byAlpn(t)), replayMaxBodyBytes: 10 } });
    t.equal(codeOf(await exchangeRaw(t, proxy.port, get)), 'upstream_closed');
    t.equal(count, 2);
  },
);

for (const code of [constants.NGHTTP2_INTERNAL_ERROR, constants.NGHTTP2_CANCEL]) {
  t.test(`a stream that is reset with ${code} before its answer is 502 \`upstream_closed\`, GET, too`, async (t) => {
    let count = 0;
    const upstream = await startH2Upstream(t, (stream) => {
      count += 1;
      stream.close(code);
    });
    const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
    t.equal(codeOf(await exchangeRaw(t, proxy.port, get)), 'upstream_closed');
    t.equal(count, 1);
  });
}

t.test('a stream that is reset within its answer is an abort, never an end', async (t) => {
  const upstream = await startRawUpstream(t, (socket) =>
    onRequest(socket, (id) => {
      socket.write(frame(1, 4, id, OK_HEADERS));
      socket.write(frame(0, 0, id, Buffer.from('half')));
      setTimeout(() => socket.write(frame(3, 0, id, numbers(constants.NGHTTP2_CANCEL))), 20);
    }),
  );
  const proxy = await startProxy(t, upstream.url, { route: { http2: 'prior-knowledge' } });
  const answer = await exchangeRaw(t, proxy.port, get);
  t.match(answer, /half/);
  t.notMatch(answer, /\r\n0\r\n\r\n$/);
  const over = await request(await connectH2(t, proxy.port), {});
  t.equal(over.body, 'half');
  t.not(over.rstCode, 0);
});

t.test('values that read like names of framing headers change nothing', async (t) => {
  const upstream = await startH2cUpstream(t, (stream) => {
    stream.respond({ ':status': 200, 'access-control-expose-headers': 'content-length', 'content-length': 2 });
    stream.end('ok');
  });
  const proxy = await startProxy(t, upstream.url, { route: { http2: 'prior-knowledge' } });
  t.match(await exchangeRaw(t, proxy.port, get), /^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\nok$/);
  t.match(proxy.observer.ends, [{ aborted: false }]);
  const stream = (await connectH2(t, proxy.port)).request({ ':method': 'POST', 'x-about': 'expect' });
  stream.on('continue', () => t.fail('nobody asked for a 100'));
  stream.end('x');
  t.equal((await answerOf(stream)).body, 'ok');
});

t.test('an answer that is shorter than its Content-Length is an abort', async (t) => {
  const upstream = await startRawUpstream(t, (socket) =>
    onRequest(socket, (id) => {
      // content-length: 9, literal without indexing, name 28 of the static table
      socket.write(frame(1, 4, id, Buffer.from([0x88, 0x0f, 0x0d, 0x01, 0x39])));
      socket.write(frame(0, 0, id, Buffer.from('half')));
      setTimeout(() => socket.write(frame(3, 0, id, numbers(constants.NGHTTP2_NO_ERROR))), 20);
    }),
  );
  const proxy = await startProxy(t, upstream.url, { route: { http2: 'prior-knowledge' } });
  const client = await connectRaw(t, proxy.port);
  client.send(get);
  await client.ended;
  t.match(client.received(), /content-length: 9[\s\S]*half$/);
  t.equal(proxy.observer.ends[0]?.aborted, true);
});

t.test(
  'GOAWAY: what lies beyond its last stream is repeated on a new connection, POST, too, what does not is answered',
  async (t) => {
    let connections = 0;
    const upstream = await startRawUpstream(t, (socket) => {
      connections += 1;
      const isFirst = connections === 1;
      onRequest(socket, (id) => {
        if (!isFirst) {
          socket.write(frame(1, 4, id, OK_HEADERS));
          socket.write(frame(0, 1, id, Buffer.from('second')));
        } else if (id === 3) {
          socket.write(frame(7, 0, 0, numbers(1, constants.NGHTTP2_NO_ERROR)));
          setTimeout(() => {
            socket.write(frame(1, 4, 1, OK_HEADERS));
            socket.write(frame(0, 1, 1, Buffer.from('first')));
          }, 30);
        }
      });
    });
    const proxy = await startProxy(t, upstream.url, { route: { http2: 'prior-knowledge' } });
    const kept = exchangeRaw(t, proxy.port, get);
    await eventually('it is at work', () => connections === 1 && proxy.inFlight() === 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    const refused = exchangeRaw(t, proxy.port, post('body'));
    t.match(await kept, /first/);
    t.match(await refused, /second/);
    t.equal(connections, 2);
  },
);

t.test(
  'GOAWAY with an error, or a connection that breaks: a GET is repeated once, a POST is 502 `upstream_closed`',
  async (t) => {
    for (const end of ['goaway', 'reset', 'fin'] as const) {
      let connections = 0;
      const upstream = await startRawUpstream(t, (socket) => {
        connections += 1;
        const isFirst = connections % 2 === 1;
        onRequest(socket, (id) => {
          if (!isFirst) {
            socket.write(frame(1, 5, id, OK_HEADERS));
          } else if (end === 'goaway') {
            socket.write(frame(7, 0, 0, numbers(id, constants.NGHTTP2_INTERNAL_ERROR)));
          } else if (end === 'reset') {
            socket.resetAndDestroy();
          } else {
            socket.end();
          }
        });
      });
      const first = await startProxy(t, upstream.url, { route: { http2: 'prior-knowledge' } });
      t.equal(statusOf(await exchangeRaw(t, first.port, get)), 200, end);
      t.equal(connections, 2, end);
      const second = await startProxy(t, upstream.url, { route: { http2: 'prior-knowledge' } });
      t.equal(codeOf(await exchangeRaw(t, second.port, post('body'))), 'upstream_closed', end);
      t.equal(connections, 3, end);
    }
  },
);

t.test('what is no HTTP/2 is 502 `upstream_malformed`', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
  });
  const proxy = await startProxy(t, upstream.url, { route: { http2: 'prior-knowledge' } });
  t.equal(codeOf(await exchangeRaw(t, proxy.port, get)), 'upstream_malformed');
});

t.test(
  'an upstream that is not there is 502 `upstream_unreachable`, one with a foreign certificate `upstream_tls_failed`',
  async (t) => {
    const proxy = await startProxy(t, 'https://127.0.0.1:9', { route: await byAlpn(t) });
    t.equal(codeOf(await exchangeRaw(t, proxy.port, get)), 'upstream_unreachable');
    const upstream = await startH2Upstream(t, () => t.fail('a request'));
    const strict = await startProxy(t, upstream.url, { route: { http2: 'auto' } });
    for (const text of [get, post('x')])
      t.equal(codeOf(await exchangeRaw(t, strict.port, text)), 'upstream_tls_failed');
  },
);

t.test('the timeouts of a route hold, and a reader that holds the answer back is none', async (t) => {
  const upstream = await startH2Upstream(t, (stream, headers) => {
    if (headers[':path'] === '/silent') return;
    stream.respond();
    if (headers[':path'] === '/large') stream.end(Buffer.alloc(20_000_000));
    else stream.write('x');
  });
  const timeouts = { connectMs: 2000, headersMs: 500, idleMs: 500 };
  const proxy = await startProxy(t, upstream.url, { route: { ...(await byAlpn(t)), timeouts } });
  t.equal(codeOf(await exchangeRaw(t, proxy.port, get.replace('/x', '/silent'))), 'upstream_timeout');
  const answer = await exchangeRaw(t, proxy.port, get);
  t.match(answer, /1\r\nx\r\n$/);
  t.equal(proxy.observer.ends[1]?.error?.code, 'upstream_timeout');
  const reader = await connectRaw(t, proxy.port);
  reader.send(get.replace('/x', '/large'));
  await reader.until('200 OK');
  reader.socket.pause();
  await new Promise((resolve) => setTimeout(resolve, 1200));
  reader.socket.resume();
  t.equal(await reader.ended, 'clean');
  t.match(reader.received().slice(-10), /\r\n0\r\n\r\n$/);
});

t.test(
  'a client that leaves resets the upstream’s stream with CANCEL, and a half upload never looks whole',
  async (t) => {
    const events: string[] = [];
    const upstream = await startH2Upstream(t, (stream, headers) => {
      stream.resume();
      stream.on('end', () => events.push(`${headers[':method']} end ${stream.aborted}`));
      stream.on('aborted', () => events.push(`${headers[':method']} aborted ${stream.rstCode}`));
      stream.respond();
      stream.write('x');
    });
    const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
    const reading = await connectRaw(t, proxy.port);
    reading.send(get);
    await reading.until('1\r\nx');
    reading.socket.destroy();
    await eventually('the GET was reset', () => events.includes('GET aborted 8'));
    const uploading = await connectRaw(t, proxy.port);
    uploading.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf');
    await uploading.until('1\r\nx');
    uploading.socket.destroy();
    await eventually('the POST was reset', () => events.includes('POST aborted 8'));
    t.notOk(events.includes('POST end false'));
    await eventually('nothing is left', () => proxy.inFlight() === 0);
  },
);

t.test('an early answer reaches a client that still uploads, and the upload is stopped', async (t) => {
  let rst = -1;
  const upstream = await startH2Upstream(t, (stream) => {
    stream.resume();
    stream.respond({ ':status': 413 });
    stream.end('too much');
    stream.on('close', () => {
      rst = stream.rstCode ?? 0;
    });
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  const client = await connectRaw(t, proxy.port);
  client.send('POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf');
  t.equal(statusOf(await client.until(/too much[\s\S]*0\r\n\r\n/)), 413);
  await eventually('its stream was closed', () => rst === constants.NGHTTP2_CANCEL);
});

t.test('an answer to HEAD, 204 and 304 are a head alone', async (t) => {
  const upstream = await startH2Upstream(t, (stream, headers) => {
    stream.respond({ ':status': Number(headers['x-status']), 'content-length': '5' }, { endStream: true });
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  for (const [method, status] of [
    ['HEAD', 200],
    ['GET', 304],
  ] as const) {
    const answer = await exchangeRaw(
      t,
      proxy.port,
      `${method} / HTTP/1.1\r\nHost: a\r\nX-Status: ${status}\r\nConnection: close\r\n\r\n`,
    );
    t.equal(statusOf(answer), status);
    t.match(answer, /content-length: 5[\s\S]*\r\n\r\n$/);
  }
});

t.test('closing ends the upstream’s connections', async (t) => {
  const upstream = await startH2Upstream(t, (stream) => {
    stream.respond();
    stream.end();
  });
  const proxy = await startProxy(t, upstream.url, { route: await byAlpn(t) });
  await exchangeRaw(t, proxy.port, get);
  t.equal(upstream.sessions.size, 1);
  await proxy.close();
  await eventually('no connection is left', () => upstream.sessions.size === 0);
});
