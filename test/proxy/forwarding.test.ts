// What crosses the proxy and how: heads, bodies, streams, interim answers, trailers, aborts both ways.
import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
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
} from './_proxy.ts';

t.test('a request arrives with the token, its path and its end-to-end headers as they came', async (t) => {
  let seen = '';
  const upstream = await startRawUpstream(t, (socket) =>
    onHead(socket, (head) => {
      seen = head;
      socket.write(
        'HTTP/1.1 200 Fine\r\nX-One: 1\r\nx-one: \xe9\r\nContent-Length: 2\r\nConnection: X-Gone\r\nX-Gone: 1\r\nSidebearer-Error: route_unknown\r\n\r\nok',
        'latin1',
      );
    }),
  );
  const proxy = await startProxy(t, `${upstream.url}/base`);
  const answer = await exchangeRaw(
    t,
    proxy.port,
    'GET /a%2Fb//c?x=%zz&y=[1] HTTP/1.1\r\nHost: somewhere\r\nX-B: 1\r\nx-b: \xfc2\r\nX-A:  3 \r\nAUTHORIZATION: Basic Zm9v\r\n' +
      'Keep-Alive: 5\r\nTE: trailers\r\nConnection: close, X-Nominated, Authorization\r\nX-Nominated: 1\r\nProxy-Authorization: x\r\n\r\n',
  );
  const lines = seen.split('\r\n');
  t.equal(lines[0], 'GET /base/a%2Fb//c?x=%zz&y=[1] HTTP/1.1');
  t.same(lines.slice(1), [
    `host: ${new URL(upstream.url).host}`,
    'connection: keep-alive',
    'X-B: 1',
    'x-b: \xfc2',
    'X-A: 3',
    'Authorization: Bearer token-1',
  ]);
  t.same(answer.split('\r\n'), [
    'HTTP/1.1 200 Fine',
    'X-One: 1',
    'x-one: \xe9',
    'Content-Length: 2',
    'Connection: close',
    '',
    'ok',
  ]);
});

t.test('the destination is the configured upstream whatever the request line or Host says', async (t) => {
  const seen: string[] = [];
  const upstream = await startRawUpstream(t, (socket) =>
    onHead(socket, (head) => {
      seen.push(head.split('\r\n')[0] ?? '');
      socket.write('HTTP/1.1 204 No Content\r\n\r\n');
    }),
  );
  let strays = 0;
  const stray = await startRawUpstream(t, () => {
    strays += 1;
  });
  const evil = new URL(stray.url).host;
  const proxy = await startProxy(t, upstream.url);
  const cases: [target: string, status: number, line?: string][] = [
    [`http://${evil}/x?y`, 204, 'GET /x?y HTTP/1.1'],
    [`HTTP://${evil}`, 204, 'GET / HTTP/1.1'],
    [`http://${evil}?q`, 204, 'GET /?q HTTP/1.1'],
    [`//${evil}/x`, 204, `GET //${evil}/x HTTP/1.1`],
    [`/\\${evil}/x`, 204, `GET /\\${evil}/x HTTP/1.1`],
    [`/@${evil}/x`, 204, `GET /@${evil}/x HTTP/1.1`],
    [`/http://${evil}/`, 204, `GET /http://${evil}/ HTTP/1.1`],
    [`http://user:pw@${evil}/x`, 400],
    [`http://good\\@${evil}/x`, 400],
    [`http:///x`, 400],
    [`ftp://${evil}/x`, 501],
    ['*', 501],
    ['/x#y', 400],
    ['/../x', 400],
    ['/%2e%2e/x', 400],
  ];
  for (const [target, status, line] of cases) {
    seen.length = 0;
    const answer = await exchangeRaw(
      t,
      proxy.port,
      `GET ${target} HTTP/1.1\r\nHost: ${evil}\r\nConnection: close\r\n\r\n`,
    );
    t.equal(statusOf(answer), status, target);
    t.same(seen, line === undefined ? [] : [line], target);
  }
  t.equal(strays, 0, 'nothing ever reached the other host');
});

t.test('what can be read in two ways is refused before an upstream byte', async (t) => {
  let connections = 0;
  const upstream = await startRawUpstream(t, () => {
    connections += 1;
  });
  const proxy = await startProxy(t, upstream.url);
  const post = 'POST / HTTP/1.1\r\nHost: a\r\n';
  const cases: [name: string, request: string, status: number, code: string][] = [
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n', 400, 'request_malformed'],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, 'request_malformed'],
    ['a Host with userinfo', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400, 'request_malformed'],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400, 'request_malformed'],
    ['CL and TE', `${post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, 'request_malformed'],
    ['two CLs', `${post}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`, 400, 'request_malformed'],
    ['a signed CL', `${post}Content-Length: +3\r\n\r\nabc`, 400, 'request_malformed'],
    ['gzip, chunked', `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501, 'request_coding_unknown'],
    [
      'two TEs',
      `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      'request_malformed',
    ],
    ['identity', `${post}Transfer-Encoding: identity\r\n\r\n`, 400, 'request_malformed'],
    [
      'TE on HTTP/1.0',
      'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'request_malformed',
    ],
    ['obs-fold', 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n', 400, 'request_malformed'],
    ['space before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400, 'request_malformed'],
    ['NUL', 'GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n', 400, 'request_malformed'],
    ['a bare LF', 'GET / HTTP/1.1\nHost: a\n\n', 400, 'request_malformed'],
    ['no HTTP', 'hello\r\n\r\n', 400, 'request_malformed'],
    ['TRACE', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'request_method_refused'],
    ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 405, 'request_method_refused'],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'request_target_unsupported'],
    [
      'an unknown expectation',
      `${post}Expect: miracle\r\nContent-Length: 1\r\n\r\na`,
      417,
      'request_expectation_unknown',
    ],
    ['a large head', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`, 431, 'request_headers_too_large'],
    ['many headers', `GET / HTTP/1.1\r\nHost: a\r\n${'a:1\r\n'.repeat(1000)}\r\n`, 431, 'request_headers_too_large'],
    [
      'a body on an upgrade',
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na`,
      400,
      'request_malformed',
    ],
  ];
  for (const [name, request, status, code] of cases) {
    const client = await connectRaw(t, proxy.port);
    client.send(request);
    const answer = await client.until(/\r\n\r\n\{.*\}$/s);
    client.socket.destroy();
    t.equal(statusOf(answer), status, name);
    t.equal(codeOf(answer), code, name);
    t.match(JSON.parse(answer.slice(answer.indexOf('{'))), { status, code }, name);
  }
  t.equal(connections, 0);
  t.equal(proxy.inFlight(), 0);
  t.equal(proxy.observer.ends.length + proxy.observer.failures.length, cases.length, 'each is counted once');
});

t.test('a malformed chunk in a body ends the upstream request and answers 400', async (t) => {
  let aborted = false;
  const upstream = await startUpstream(t, (request) => {
    request.on('error', () => undefined);
    request.on('aborted', () => {
      aborted = true;
    });
    request.resume();
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
  await eventually('the upstream request began', () => proxy.inFlight() === 1);
  await new Promise((resolve) => setTimeout(resolve, 30));
  client.send('zz\r\n');
  await client.ended;
  t.equal(codeOf(client.received()), 'request_malformed');
  await eventually('the upstream saw the abort', () => aborted);
  t.equal(proxy.inFlight(), 0);
});

t.test('a body of 3 MiB arrives whole, both ways, with a length and chunked', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    const { 'content-length': length = 'none', 'transfer-encoding': coding = 'none' } = request.headers;
    response.writeHead(200, { 'x-framing': `${length} ${coding}` });
    request.pipe(response);
  });
  const proxy = await startProxy(t, upstream.url);
  const body = Buffer.alloc(3 * 1024 * 1024, 'sidebearer ');
  for (const headers of [{ 'content-length': body.length }, {}]) {
    const answer = await new Promise<{ framing: unknown; body: Buffer }>((resolve, reject) => {
      const request = httpRequest(proxy.url, { method: 'POST', headers, agent: false }, async (response) => {
        resolve({ framing: response.headers['x-framing'], body: await readBody(response) });
      });
      request.on('error', reject);
      for (let i = 0; i < body.length; i += 100_000) request.write(body.subarray(i, i + 100_000));
      request.end();
    });
    t.equal(answer.framing, 'content-length' in headers ? `${body.length} none` : 'none chunked');
    t.equal(createHash('sha256').update(answer.body).digest('hex'), createHash('sha256').update(body).digest('hex'));
  }
});

t.test('HEAD, 204 and 304 have no body and leave the connection usable', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    if (request.url === '/304') response.writeHead(304, { etag: '"1"', 'content-length': 9 }).end();
    else if (request.url === '/204') response.writeHead(204).end();
    else response.writeHead(200, { 'content-length': 5 }).end(request.method === 'HEAD' ? undefined : 'hello');
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  const get = (method: string, path: string): string => `${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  client.send(get('HEAD', '/') + get('GET', '/304') + get('GET', '/204') + get('HEAD', '/') + get('GET', '/'));
  await client.until(/hello$/);
  t.same(
    client.received().match(/HTTP\/1\.1 \d+/g),
    [200, 304, 204, 200, 200].map((status) => `HTTP/1.1 ${status}`),
  );
  t.equal(client.received().match(/hello/g)?.length, 1);
});

t.test('pipelined requests are answered in order', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    setTimeout(() => response.end(`<${request.url}>`), request.url === '/1' ? 40 : 0);
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  for (let i = 1; i <= 4; i += 1) client.send(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await client.until('</4>'.replace('/', '/'));
  t.same(client.received().match(/<\/\d>/g), ['</1>', '</2>', '</3>', '</4>']);
});

t.test('an HTTP/1.0 client gets a whole answer delimited by the end, and a reset where it is not whole', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    response.write('part');
    if (request.url === '/cut') setTimeout(() => response.destroy(), 20);
    else response.end('ial');
  });
  const proxy = await startProxy(t, upstream.url);
  const whole = await connectRaw(t, proxy.port);
  whole.send('GET / HTTP/1.0\r\n\r\n');
  t.equal(await whole.ended, 'clean');
  t.match(whole.received(), /\r\n\r\npartial$/);
  t.notMatch(whole.received(), /chunked/i);
  const cut = await connectRaw(t, proxy.port);
  cut.send('GET /cut HTTP/1.0\r\n\r\n');
  t.equal(await cut.ended, 'reset');
});

t.test('a head without a body, and each event of a stream, are passed on at once', async (t) => {
  let emit: (text: string) => void = () => undefined;
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    emit = (text) => void response.write(text);
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('text/event-stream');
  for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
    emit(event);
    await client.until(event);
  }
  client.socket.destroy();
  await eventually('the exchange ended', () => proxy.inFlight() === 0);
  t.match(proxy.observer.ends, [{ status: 200, aborted: true }]);
});

t.test('103 and trailers are passed on, Sidebearer-Error in them is not', async (t) => {
  const upstream = await startRawUpstream(t, (socket) =>
    onHead(socket, () => {
      socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nX-Any: 1\r\n\r\n');
      socket.write(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nsidebearer-error: x\r\n\r\n',
      );
    }),
  );
  const proxy = await startProxy(t, upstream.url);
  const answer = await exchangeRaw(t, proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  t.match(answer, /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>; rel=preload\r\nX-Any: 1\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  t.match(answer, /Trailer: X-Sum\r\n/);
  t.match(answer, /\r\n0\r\nX-Sum: 7\r\n\r\n$/);
});

t.test('Expect: 100-continue is answered when the upstream wants the body, and never before a refusal', async (t) => {
  const upstream = await startUpstream(t, async (request, response) => {
    response.end(`${request.headers.expect} ${await readBody(request)}`);
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n');
  await client.until('HTTP/1.1 100 Continue\r\n\r\n');
  client.send('body');
  await client.until('undefined body');
  t.equal(client.received().match(/100 Continue/g)?.length, 1);
  const refused = await exchangeRaw(
    t,
    proxy.port,
    'PUT /../x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n',
  );
  t.match(refused, /^HTTP\/1\.1 400 [\s\S]*Connection: close\r\n/);
});

t.test('a final answer while the client still uploads reaches it, and the connection can be used again', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.once('data', (first) => {
      // It reads nothing: the upload stands still until the answer. Then it reads on, or its end would be a reset.
      socket.pause();
      const answer = `<${first.toString('latin1').split(' ')[0]}>`;
      const head = `HTTP/1.1 413 Payload Too Large\r\nContent-Length: ${answer.length}\r\nConnection: close\r\n\r\n`;
      setTimeout(() => {
        socket.end(head + answer);
        socket.resume();
      }, 150);
    });
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n`);
  client.send(Buffer.alloc(30_000_000));
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('<POST>');
  t.equal(statusOf(client.received()), 413);
  await client.until('<GET>');
  await eventually('the exchanges ended', () => proxy.inFlight() === 0);
});

t.test('a client that leaves ends the upstream request, before and within the answer', async (t) => {
  for (const path of ['/silent', '/started']) {
    let closed = false;
    let began = false;
    const upstream = await startUpstream(t, (request, response) => {
      began = true;
      response.on('close', () => {
        closed = true;
      });
      if (request.url === '/started') response.write('x');
    });
    const proxy = await startProxy(t, upstream.url);
    const client = await connectRaw(t, proxy.port);
    client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await eventually('it began', () => began);
    if (path === '/started') await client.until('x');
    client.socket.destroy();
    await eventually('the upstream saw the end', () => closed);
    t.match(proxy.observer.ends, [{ status: path === '/started' ? 200 : 0, aborted: true }]);
    t.equal(proxy.observer.inFlight, 0);
  }
});

t.test('an upstream that dies within its answer: the client sees an abort, never a clean end', async (t) => {
  for (const framing of ['Content-Length: 10', 'Transfer-Encoding: chunked']) {
    const upstream = await startRawUpstream(t, (socket) =>
      onHead(socket, () => {
        socket.write(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n${framing.startsWith('T') ? '3\r\nabc\r\n' : 'abc'}`);
        setTimeout(() => socket.destroy(), 20);
      }),
    );
    const proxy = await startProxy(t, upstream.url);
    const outcome = await new Promise((resolve) => {
      const request = httpRequest(proxy.url, { agent: false }, (response) => {
        response.on('error', (error) => resolve(error.message));
        response.on('end', () => resolve('clean'));
        response.resume();
      });
      request.on('error', (error) => resolve(error.message));
      request.end();
    });
    t.equal(outcome, 'aborted', framing);
    t.match(proxy.observer.ends, [{ status: 200, aborted: true, error: { code: 'upstream_closed' } }]);
  }
});

t.test('an upstream that cannot be used answers with its own code', async (t) => {
  const closing = await startRawUpstream(t, (socket) => onHead(socket, () => socket.destroy()));
  const lying = await startRawUpstream(t, (socket) =>
    onHead(socket, () => void socket.write('HTTP/1.1 200 OK\r\nX : 1\r\n\r\n')),
  );
  const truncated = await startRawUpstream(t, (socket) => onHead(socket, () => socket.end('HTTP/1.1 200 OK\r\nX: 1')));
  const switching = await startRawUpstream(t, (socket) =>
    onHead(
      socket,
      () => void socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
    ),
  );
  const continuing = await startRawUpstream(t, (socket) =>
    onHead(socket, () => void socket.write('HTTP/1.1 100 Continue\r\n\r\n')),
  );
  const silent = await startRawUpstream(t, () => undefined);
  const gone = await startUpstream({ teardown: () => undefined }, () => undefined);
  await new Promise((resolve) => gone.server.close(resolve));
  const noTls = silent.url.replace('http:', 'https:');
  const plain = await startRawUpstream(
    t,
    (socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 Bad\r\n\r\n')),
  );
  const cases: [name: string, url: string, status: number, code: string][] = [
    ['nobody listens', gone.url, 502, 'upstream_unreachable'],
    ['it closes', closing.url, 502, 'upstream_closed'],
    ['malformed head', lying.url, 502, 'upstream_malformed'],
    ['truncated head', truncated.url, 502, 'upstream_malformed'],
    ['101 unasked', switching.url, 502, 'upstream_malformed'],
    ['100 unasked', continuing.url, 502, 'upstream_malformed'],
    ['headers timeout', silent.url, 504, 'upstream_timeout'],
    ['no TLS there', plain.url.replace('http:', 'https:'), 502, 'upstream_tls_failed'],
    ['TLS that never answers', noTls, 502, 'upstream_unreachable'],
  ];
  for (const [name, url, status, code] of cases) {
    const proxy = await startProxy(t, url, { route: { timeouts: { connectMs: 300, headersMs: 200, idleMs: 0 } } });
    const answer = await exchangeRaw(
      t,
      proxy.port,
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    );
    t.equal(statusOf(answer), status, name);
    t.equal(codeOf(answer), code, name);
    t.match(proxy.observer.ends, [{ status, aborted: false, error: { code } }], name);
  }
});

t.test('a connection that the upstream closes is retried once for an idempotent request, never for POST', async (t) => {
  for (const method of ['GET', 'PUT', 'POST']) {
    const bodies: string[] = [];
    let connections = 0;
    const upstream = await startRawUpstream(t, (socket) => {
      connections += 1;
      const isFirst = connections === 1;
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
        if (!text.endsWith(method === 'GET' ? '\r\n\r\n' : 'body')) return;
        bodies.push(text.slice(text.indexOf('\r\n\r\n') + 4));
        if (isFirst) socket.destroy();
        else socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      });
    });
    const proxy = await startProxy(t, upstream.url);
    const answer = await exchangeRaw(
      t,
      proxy.port,
      `${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${method === 'GET' ? '\r\n' : 'Content-Length: 4\r\n\r\nbody'}`,
    );
    t.equal(statusOf(answer), method === 'POST' ? 502 : 200, method);
    t.equal(connections, method === 'POST' ? 1 : 2, method);
    if (method === 'PUT') t.same(bodies, ['body', 'body']);
  }
});

t.test('a stalled reader holds the upstream back', async (t) => {
  let written = 0;
  const upstream = await startUpstream(t, (_request, response) => {
    const chunk = Buffer.alloc(64 * 1024);
    const push = (): void => {
      while (written < 256 * 1024 * 1024) {
        written += chunk.length;
        if (!response.write(chunk)) return void response.once('drain', push);
      }
    };
    push();
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.socket.pause();
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  let before = -1;
  while (before !== written || written === 0) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  t.ok(written < 24 * 1024 * 1024, `${written} bytes`);
});

t.test('a stalled upstream holds the uploading client back', async (t) => {
  const upstream = await startUpstream(t, (request) => void request.pause());
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n');
  let written = 0;
  const chunk = Buffer.alloc(64 * 1024);
  const push = (): void => {
    while (written < 256 * 1024 * 1024) {
      written += chunk.length;
      if (!client.socket.write(chunk)) return void client.socket.once('drain', push);
    }
  };
  push();
  let before = -1;
  while (before !== written) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  t.ok(written < 24 * 1024 * 1024, `${written} bytes`);
});
