// The listener: who may call, binding, draining, and connections that never become requests.

import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createProxyListener } from '../../src/proxy/listener.ts';
import {
  codeOf,
  connectRaw,
  createFakeBearer,
  createRecorder,
  createRoute,
  eventually,
  exchangeRaw,
  limits,
  startProxy,
  startUpstream,
  statusOf,
} from './_proxy.ts';

t.test('hosts: other names and cross-site pages are 403, each with its code', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => response.end('ok'));
  const proxy = await startProxy(t, upstream.url, { hosts: ['localhost', '127.0.0.1'] });
  const cases: [headers: string, status: number, code: string | undefined][] = [
    ['Host: localhost', 200, undefined],
    ['Host: LOCALHOST.:8080', 200, undefined],
    ['Host: 127.0.0.1:8080', 200, undefined],
    ['Host: evil.example', 403, 'request_host_forbidden'],
    ['Host: localhost.evil.example', 403, 'request_host_forbidden'],
    ['Host: localhost\r\nSec-Fetch-Site: cross-site', 403, 'request_cross_site'],
    ['Host: localhost\r\nSec-Fetch-Site: same-origin', 200, undefined],
    [
      'Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-Fetch-Site: cross-site',
      403,
      'request_cross_site',
    ],
  ];
  for (const [headers, status, code] of cases) {
    const client = await connectRaw(t, proxy.port);
    client.send(`GET / HTTP/1.1\r\n${headers}\r\n\r\n`);
    const answer = await client.until(/ok$|\}$/);
    t.equal(statusOf(answer), status, headers);
    t.equal(codeOf(answer), code, headers);
  }
  const absolute = await exchangeRaw(
    t,
    proxy.port,
    'GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
  );
  t.equal(codeOf(absolute), 'request_host_forbidden');
});

t.test('routes: by host, then the longest path; none is 404 route_unknown', async (t) => {
  const upstream = await startUpstream(t, (request, response) => response.end(`[${request.url}]`));
  const proxy = await startProxy(t, upstream.url, {
    routes: (bearer) => [
      createRoute(`${upstream.url}/api-base/`, bearer, { name: 'api', path: '/api', stripPath: true }),
      createRoute(`${upstream.url}/deep`, bearer, { name: 'deep', path: '/api/deep' }),
      createRoute(`${upstream.url}/host`, bearer, { name: 'host', path: '/', host: 'Special.example' }),
    ],
  });
  const cases: [host: string, path: string, expected: string | undefined][] = [
    ['a', '/api', '/api-base'],
    ['a', '/api?x', '/api-base?x'],
    ['a', '/api/x?y', '/api-base/x?y'],
    ['a', '/api/deep/x', '/deep/api/deep/x'],
    ['a', '/apix', undefined],
    ['a', '/', undefined],
    ['special.example:80', '/apix', '/host/apix'],
    ['special.example', '/api/x', '/host/api/x'],
  ];
  for (const [host, path, expected] of cases) {
    const answer = await exchangeRaw(
      t,
      proxy.port,
      `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    );
    if (expected === undefined) t.equal(codeOf(answer), 'route_unknown', path);
    else t.ok(answer.includes(`[${expected}]`), `${path} → ${expected}`);
  }
  t.match(proxy.observer.ends.at(4), { route: undefined, status: 404 });
});

t.test('a busy port is listen_port_busy with address and setting, and listening may be tried again', async (t) => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  const address = blocker.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const listener = createProxyListener({
    address: { host: '127.0.0.1', port },
    routes: [],
    hosts: [],
    limits,
    observer: createRecorder(),
    clock: systemClock,
  });
  t.teardown(() => listener.close({ minDrainMs: 0, maxDrainMs: 0 }));
  await t.rejects(listener.listen(), {
    code: 'listen_port_busy',
    details: { address: `127.0.0.1:${port}`, setting: 'listen.proxy' },
  });
  await new Promise((resolve) => blocker.close(resolve));
  t.match(await listener.listen(), { url: `http://127.0.0.1:${port}` });
});

t.test('unix:/path serves like any other address', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const upstream = await startUpstream(t, (_request, response) => response.end('ok'));
  const path = join(folder, 's');
  const listener = createProxyListener({
    address: { path },
    routes: [createRoute(upstream.url, createFakeBearer())],
    hosts: [],
    limits,
    observer: createRecorder(),
    clock: systemClock,
  });
  t.teardown(() => listener.close({ minDrainMs: 0, maxDrainMs: 0 }));
  t.equal((await listener.listen()).url, `unix:${path}`);
  const status = await new Promise((resolve, reject) => {
    httpRequest({ socketPath: path, path: '/', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
  t.equal(status, 200);
});

t.test(
  'draining: what is in flight ends whole, idle and silent connections at once, answers close theirs',
  async (t) => {
    let finish: () => void = () => undefined;
    const upstream = await startUpstream(t, (request, response) => {
      if (request.url === '/idle') return void response.end('idle');
      response.write('begin ');
      finish = () => response.end('end');
    });
    const proxy = await startProxy(t, upstream.url);
    const busy = await connectRaw(t, proxy.port);
    busy.send('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    await busy.until('begin');
    const idle = await connectRaw(t, proxy.port);
    idle.send('GET /idle HTTP/1.1\r\nHost: a\r\n\r\n');
    await idle.until('idle');
    const silent = await connectRaw(t, proxy.port);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const closed = proxy.close({ minDrainMs: 0, maxDrainMs: 60_000 });
    t.equal(await idle.ended, 'clean');
    await silent.ended;
    await t.rejects(connectRaw(t, proxy.port), { code: 'ECONNREFUSED' });
    finish();
    await busy.until('end');
    await busy.ended;
    await closed;
    t.match(proxy.observer.ends.at(-1), { status: 200, aborted: false });
  },
);

t.test('draining: during minDrain new connections are served, and told that theirs closes', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => response.end('ok'));
  const proxy = await startProxy(t, upstream.url);
  const closed = proxy.close({ minDrainMs: 150, maxDrainMs: 1000 });
  const client = await connectRaw(t, proxy.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  t.equal(await client.ended, 'clean');
  t.match(client.received(), /Connection: close/);
  await closed;
});

t.test('draining: after maxDrain what is left is cut and its upstream request ended', async (t) => {
  let isClosed = false;
  const upstream = await startUpstream(t, (_request, response) => {
    response.write('begin');
    response.on('close', () => {
      isClosed = true;
    });
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('begin');
  await proxy.close({ minDrainMs: 0, maxDrainMs: 60 });
  await client.ended;
  t.notMatch(client.received(), /\r\n0\r\n\r\n$/, 'not a clean end');
  await eventually('the upstream saw it', () => isClosed);
  t.equal(proxy.inFlight(), 0);
});

t.test('a head that does not come in time is 408 request_timeout; a silent connection just ends', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => response.end());
  const proxy = await startProxy(t, upstream.url, { limits: { headerTimeoutMs: 150 } });
  const silent = await connectRaw(t, proxy.port);
  const slow = await connectRaw(t, proxy.port);
  slow.send('GET / HTTP/1.1\r\nHost:');
  await slow.ended;
  t.equal(statusOf(slow.received()), 408);
  t.equal(codeOf(slow.received()), 'request_timeout');
  await silent.ended;
  t.equal(silent.received(), '');
  t.same(
    proxy.observer.failures.map(({ code }) => code),
    ['request_timeout'],
  );
});

t.test('a request that follows a refused one on its connection is never carried', async (t) => {
  let requests = 0;
  const upstream = await startUpstream(t, (_request, response) => {
    requests += 1;
    response.end();
  });
  const proxy = await startProxy(t, upstream.url);
  const answer = await exchangeRaw(
    t,
    proxy.port,
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
  );
  t.equal(codeOf(answer), 'request_coding_unknown');
  t.equal(answer.match(/HTTP\/1\.1/g)?.length, 1);
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.equal(requests, 0);
});
