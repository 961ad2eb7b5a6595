// Clients that speak HTTP/2 with prior knowledge, on the port of HTTP/1.1, towards an upstream of HTTP/1.1.
import { connect as connectTcp } from 'node:net';
import t from 'tap';
import {
  codeOf,
  connectRaw,
  eventually,
  exchangeRaw,
  onHead,
  readBody,
  startProxy,
  startRawUpstream,
  startUpstream,
  statusOf,
} from '../_proxy.ts';
import { answerOf, connectH2, request } from './_h2.ts';

t.test('a request over h2c arrives with the token, its Host, path, headers and one cookie', async (t) => {
  let seen = '';
  const upstream = await startRawUpstream(t, (socket) =>
    onHead(socket, (head) => {
      seen = head;
      socket.write(
        'HTTP/1.1 200 Fine\r\nX-One: 1\r\nx-one: \xe9\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\nConnection: X-Gone\r\nX-Gone: 1\r\n\r\nok',
        'latin1',
      );
    }),
  );
  const proxy = await startProxy(t, `${upstream.url}/base`);
  const session = await connectH2(t, proxy.port);
  const answer = await request(session, {
    ':path': '/a%2Fb//c?x=%zz',
    ':authority': 'somewhere.test:99',
    'x-a': ['1', '2\xfc'],
    cookie: ['a=1', 'b=2'],
    authorization: 'Basic Zm9v',
    te: 'trailers',
  });
  const lines = seen.split('\r\n');
  t.equal(lines[0], 'GET /base/a%2Fb//c?x=%zz HTTP/1.1');
  t.strictSame(lines.slice(1), [
    `host: ${new URL(upstream.url).host}`,
    'connection: keep-alive',
    'x-a: 1',
    'x-a: 2\xfc',
    'cookie: a=1; b=2',
    'Authorization: Bearer token-1',
  ]);
  t.equal(answer.status, 200);
  t.equal(answer.body, 'ok');
  t.strictSame(answer.rawHeaders, [
    ':status',
    '200',
    'x-one',
    '1',
    'x-one',
    '\xe9',
    'set-cookie',
    'a=1',
    'set-cookie',
    'b=2',
    'content-length',
    '2',
  ]);
  t.equal(proxy.inFlight(), 0);
});

t.test(
  'a route is chosen by :authority; two hosts in one request are refused with 400 `request_malformed`',
  async (t) => {
    const upstream = await startUpstream(t, (_request, response) => response.end());
    const proxy = await startProxy(t, upstream.url, { hosts: ['good.test'] });
    const session = await connectH2(t, proxy.port);
    t.equal((await request(session, { ':authority': 'good.test' })).status, 200);
    t.equal((await request(session, { ':authority': 'good.test', host: 'good.test' })).status, 200);
    const two = await request(session, { ':authority': 'good.test', host: 'evil.test' });
    t.equal(two.status, 400);
    t.equal(two.headers['sidebearer-error'], 'request_malformed');
    const evil = await request(session, { ':authority': 'evil.test' });
    t.equal(evil.headers['sidebearer-error'], 'request_host_forbidden');
  },
);

t.test('CONNECT and TRACE are refused with 405 `request_method_refused`, and the connection goes on', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => response.end());
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  const connect = await request(session, { ':method': 'CONNECT', ':authority': 'x:1' }, '');
  t.equal(connect.status, 405);
  t.equal(connect.headers['sidebearer-error'], 'request_method_refused');
  t.equal((await request(session, { ':method': 'TRACE' })).status, 405);
  t.equal((await request(session, {})).status, 200);
});

t.test('a body of any length arrives whole, also without Content-Length, and comes back', async (t) => {
  const seen: (string | undefined)[] = [];
  const upstream = await startUpstream(t, (incoming, response) => {
    seen.push(incoming.headers['content-length'] ?? incoming.headers['transfer-encoding']);
    incoming.pipe(response);
  });
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  const body = Buffer.alloc(3_000_000, 'abcdefg');
  const plain = await request(session, { ':method': 'POST' }, body);
  t.equal(plain.body.length, body.length);
  t.equal(plain.body, body.toString('latin1'));
  const sized = await request(session, { ':method': 'PUT', 'content-length': '4' }, 'body');
  t.equal(sized.body, 'body');
  const none = await request(session, { ':method': 'POST' }, '');
  t.equal(none.status, 200);
  t.strictSame(seen, ['chunked', '4', '0'], 'undici sees that there is none');
});

t.test('HEAD, 204 and 304 end with their head', async (t) => {
  const upstream = await startUpstream(t, (incoming, response) => {
    response.writeHead(Number(incoming.url?.slice(1)), { 'content-type': 'text/plain' });
    response.end();
  });
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  for (const [method, status] of [
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ] as const) {
    const answer = await request(session, { ':method': method, ':path': `/${status}` });
    t.equal(answer.status, status);
    t.equal(answer.headEnds, true, `${method} ${status}`);
    t.equal(answer.rstCode, 0);
  }
});

t.test('interim answers and trailers are passed on', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeEarlyHints({ link: '</a.css>' });
    response.writeHead(200, { trailer: 'x-sum' });
    response.write('abc');
    response.addTrailers({ 'X-Sum': '7' });
    response.end();
  });
  const proxy = await startProxy(t, upstream.url);
  const answer = await request(await connectH2(t, proxy.port), {});
  t.strictSame(answer.interim, [103]);
  t.equal(answer.body, 'abc');
  t.equal(answer.trailers?.['x-sum'], '7');
});

t.test('Expect: 100-continue is answered once the upstream wants the body', async (t) => {
  const upstream = await startUpstream(t, async (incoming, response) => response.end(await readBody(incoming)));
  const proxy = await startProxy(t, upstream.url);
  const stream = (await connectH2(t, proxy.port)).request({ ':method': 'POST', expect: '100-continue' });
  const answer = answerOf(stream);
  await new Promise((resolve) => stream.once('continue', resolve));
  stream.end('late');
  t.equal((await answer).body, 'late');
});

t.test('a client that resets its stream aborts the upstream’s request, before and during the answer', async (t) => {
  const aborted: string[] = [];
  const upstream = await startUpstream(t, (incoming, response) => {
    response.on('close', () => {
      if (!response.writableFinished) aborted.push(incoming.url ?? '');
    });
    if (incoming.url === '/begun') response.write('x');
  });
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  const silent = session.request({ ':path': '/silent' });
  await eventually('the request is at work', () => proxy.inFlight() === 1);
  silent.close(8);
  await eventually('the first one was aborted', () => aborted.includes('/silent'));
  const begun = session.request({ ':path': '/begun' });
  await new Promise((resolve) => begun.once('data', resolve));
  begun.close(8);
  await eventually('the second one was aborted', () => aborted.includes('/begun'));
  await eventually('nothing is left', () => proxy.inFlight() === 0);
  t.equal(
    proxy.observer.ends.every((end) => end.aborted),
    true,
  );
});

t.test('a client that resets its stream in the middle of an upload never makes it look whole', async (t) => {
  let outcome = '';
  const upstream = await startUpstream(t, (incoming) => {
    incoming.resume();
    incoming.on('end', () => {
      outcome = 'whole';
    });
    incoming.on('error', () => {
      outcome ||= 'aborted';
    });
  });
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  // Without `waitForTrailers` Node's own client ends the body before it resets.
  const stream = session.request({ ':method': 'POST' }, { waitForTrailers: true });
  stream.on('error', () => undefined);
  stream.write('half');
  await eventually('it is at work', () => proxy.inFlight() === 1);
  stream.close(8);
  await eventually('the upstream knows', () => outcome !== '');
  t.equal(outcome, 'aborted');
});

t.test('an upstream that dies in the middle of the answer resets the stream, and the connection goes on', async (t) => {
  const upstream = await startUpstream(t, (incoming, response) => {
    if (incoming.url === '/ok') return response.end('ok');
    response.write('half');
    return setTimeout(() => incoming.socket.destroy(), 20);
  });
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  const answer = await request(session, {});
  t.equal(answer.body, 'half');
  t.not(answer.rstCode, 0);
  t.equal((await request(session, { ':path': '/ok' })).body, 'ok');
});

t.test('an early final answer reaches a client that still uploads, then the upload is stopped', async (t) => {
  const upstream = await startUpstream(t, (_incoming, response) => {
    response.writeHead(413, { connection: 'close' });
    response.end('too much');
  });
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  const stream = session.request({ ':method': 'POST' });
  stream.write('begin');
  const answer = await answerOf(stream);
  t.equal(answer.status, 413);
  t.equal(answer.body, 'too much');
  t.equal(answer.rstCode, 0, 'NO_ERROR, RFC 9113 §8.1');
  t.equal(proxy.inFlight(), 0);
});

t.test('a stalled reader holds the upstream back, and a stalled upstream the client', async (t) => {
  let written = 0;
  let read = 0;
  const upstream = await startUpstream(t, (incoming, response) => {
    if (incoming.method === 'POST') {
      incoming.once('data', (chunk: Buffer) => {
        read += chunk.length;
        incoming.pause();
      });
      return;
    }
    const chunk = Buffer.alloc(64 * 1024);
    const more = (): void => {
      while (written < 256 * 1024 * 1024) {
        written += chunk.length;
        if (!response.write(chunk)) {
          response.once('drain', more);
          return;
        }
      }
    };
    more();
  });
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  const download = session.request({});
  download.on('error', () => undefined);
  await new Promise((resolve) => download.once('response', resolve));
  const upload = session.request({ ':method': 'POST' });
  upload.on('error', () => undefined);
  let sent = 0;
  const push = (): void => {
    while (sent < 256 * 1024 * 1024) {
      sent += 65_536;
      if (!upload.write(Buffer.alloc(65_536))) {
        upload.once('drain', push);
        return;
      }
    }
  };
  push();
  await eventually('the upload began', () => read > 0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.ok(written < 16 * 1024 * 1024, `the upstream wrote ${written}`);
  t.ok(sent < 16 * 1024 * 1024, `the client sent ${sent}`);
  // A third stream is not held back by the two.
  download.close();
  upload.close();
});

t.test('HTTP/1.1 that begins like the preface, in pieces, is read as HTTP/1.1', async (t) => {
  const upstream = await startUpstream(t, (incoming, response) => response.end(incoming.method));
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  for (const piece of ['P', 'RO', 'PFIND / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n', '\r\n']) {
    client.send(piece);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await client.ended;
  t.match(client.received(), /200 OK[\s\S]*PROPFIND/);
  const wrong = await exchangeRaw(t, proxy.port, 'PRI * HTTP/2.0\r\nHost: a\r\n\r\n');
  t.equal(statusOf(wrong), 400);
});

t.test('a preface in pieces is read as HTTP/2', async (t) => {
  const upstream = await startUpstream(t, (_incoming, response) => response.end());
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  for (const piece of ['PRI * HT', 'TP/2.0\r\n\r\nSM', '\r\n\r', '\n', Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]) {
    client.send(piece);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await client.until('\x00\x00\x00\x04\x01\x00\x00\x00\x00');
  client.socket.destroy();
});

t.test('a connection that says nothing, or half a preface, is ended in time', async (t) => {
  const upstream = await startUpstream(t, (_incoming, response) => response.end());
  const proxy = await startProxy(t, upstream.url, { limits: { headerTimeoutMs: 60 } });
  const silent = await connectRaw(t, proxy.port);
  const half = await connectRaw(t, proxy.port);
  half.send('PRI * HTTP/2.0');
  await Promise.all([silent.ended, half.ended]);
  t.equal(silent.received(), '');
  t.equal(codeOf(half.received()), 'request_timeout');
});

t.test('what is no HTTP/2 after the preface ends the connection as `request_malformed`', async (t) => {
  const upstream = await startUpstream(t, (_incoming, response) => response.end());
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.ended;
  await eventually('it was told', () => proxy.observer.failures.length > 0);
  t.strictSame(
    proxy.observer.failures.map((error) => error.code),
    ['request_malformed'],
  );
});

t.test('a head beyond the limits is 431 `request_headers_too_large`', async (t) => {
  const upstream = await startUpstream(t, (_incoming, response) => response.end());
  const proxy = await startProxy(t, upstream.url, { limits: { headerCount: 50 } });
  const session = await connectH2(t, proxy.port);
  const large = await request(session, { 'x-large': 'x'.repeat(20_000) });
  t.equal(large.status, 431);
  t.equal(large.headers['sidebearer-error'], 'request_headers_too_large');
  const many = await request(session, Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x-${i}`, '1'])));
  t.equal(many.status, 431);
  t.equal(many.headers['sidebearer-error'], 'request_headers_too_large');
  t.equal((await request(session, {})).status, 200);
});

t.test('a client that opens and resets streams without end loses its connection', async (t) => {
  const upstream = await startUpstream(t, () => undefined);
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  let isClosed = false;
  session.on('close', () => {
    isClosed = true;
  });
  let opened = 0;
  while (!isClosed && opened < 5000) {
    for (let i = 0; i < 50 && !session.closed && !session.destroyed; i += 1) {
      const stream = session.request({});
      stream.on('error', () => undefined);
      stream.close(8);
      opened += 1;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually('the connection is gone', () => isClosed);
  t.ok(opened < 5000, `after ${opened}`);
  await eventually('nothing is left', () => proxy.inFlight() === 0);
});

t.test('no more than 100 streams of one connection are at work', async (t) => {
  const upstream = await startUpstream(t, () => undefined);
  const proxy = await startProxy(t, upstream.url);
  const session = await connectH2(t, proxy.port);
  await eventually('the limit is known', () => session.remoteSettings.maxConcurrentStreams === 100);
  for (let i = 0; i < 150; i += 1) session.request({}).on('error', () => undefined);
  await eventually('100 are at work', () => proxy.inFlight() === 100);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(proxy.inFlight(), 100);
  session.destroy();
  await eventually('nothing is left', () => proxy.inFlight() === 0);
});

t.test('a drain asks for GOAWAY, lets what is at work end, and closes idle connections', async (t) => {
  let release: (() => void) | undefined;
  const upstream = await startUpstream(t, (_incoming, response) => {
    release = () => response.end('done');
  });
  const proxy = await startProxy(t, upstream.url);
  const busy = await connectH2(t, proxy.port);
  const idle = await connectH2(t, proxy.port);
  const ended: string[] = [];
  idle.on('close', () => ended.push('idle'));
  busy.on('close', () => ended.push('busy'));
  let goaway = false;
  busy.on('goaway', () => {
    goaway = true;
  });
  const answer = request(busy, {});
  await eventually('it is at work', () => release !== undefined);
  const closed = proxy.close({ minDrainMs: 0, maxDrainMs: 3000 });
  await eventually('GOAWAY came', () => goaway);
  await eventually('the idle one is gone', () => ended.includes('idle'));
  t.notOk(ended.includes('busy'));
  release?.();
  t.equal((await answer).body, 'done');
  await closed;
  await eventually('the busy one is gone', () => ended.includes('busy'));
});

t.test('a connection without TCP data is not kept from a drain', async (t) => {
  const upstream = await startUpstream(t, (_incoming, response) => response.end());
  const proxy = await startProxy(t, upstream.url);
  const socket = connectTcp(proxy.port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  const gone = new Promise((resolve) => socket.once('close', resolve));
  socket.resume();
  await proxy.close({ minDrainMs: 0, maxDrainMs: 2000 });
  await gone;
});
