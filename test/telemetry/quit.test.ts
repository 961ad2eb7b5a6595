// POST /quitquitquit ends a sidecar whose Job is done. The port that it stands on is open to the pod network, and a
// browser on the same machine reaches loopback as well: a stranger who could end sidecars would take every pod's API away.

import { mkdtempSync, rmSync } from 'node:fs';
import { type RequestOptions, request } from 'node:http';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { bind, type ListenAddress } from '../../src/listen.ts';
import { createTelemetryServer } from '../../src/telemetry/server.ts';
import { createTestTelemetry } from './_telemetry.ts';

/** An address of this machine that is not loopback's; the pod network's view. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((each) => each?.family === 'IPv4' && !each.internal)?.address;
const ipv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));

async function startServer(t: Test, options: { isOn?: boolean; address?: ListenAddress } = {}) {
  const { isOn = true, address = { host: '127.0.0.1', port: 0 } } = options;
  const test = await createTestTelemetry();
  let orders = 0;
  const quit = (): void => {
    orders += 1;
  };
  const telemetry = createTelemetryServer({
    metrics: test.metrics,
    probes: () => ({ isBound: true, isStopping: false, require: 'none', credentials: () => [] }),
    quit: () => (isOn ? quit : undefined),
    quitRefused: (error) => test.life.quitRefused(error),
  });
  const bound = await bind(telemetry.server, address, 'listen.telemetry');
  t.teardown(() => telemetry.close(0));
  const port = 'port' in bound.address ? bound.address.port : 0;
  return { test, port, orders: () => orders };
}

interface Answered {
  readonly status: number;
  readonly body: string;
  readonly allow: string | undefined;
}

function ask(options: RequestOptions, body = ''): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const asked = request({ path: '/quitquitquit', method: 'POST', agent: false, ...options }, async (answer) => {
      let text = '';
      for await (const chunk of answer.setEncoding('utf8')) text += chunk;
      resolve({ status: answer.statusCode ?? 0, body: text, allow: answer.headers.allow });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

/** With these header lines alone. */
async function askRaw(port: number, lines: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.end(`POST /quitquitquit HTTP/1.1\r\nConnection: close\r\n${lines}\r\n`);
  let text = '';
  for await (const chunk of socket.setEncoding('utf8')) text += chunk;
  return text;
}

t.test('a program in the pod orders the end, once; another order changes nothing', async (t) => {
  const { port, orders } = await startServer(t);
  t.match(await ask({ port, host: '127.0.0.1' }), { status: 200, body: 'Ending.\n' });
  t.equal(orders(), 1);
  t.match(await ask({ port, host: '127.0.0.1' }, 'whatever'), { status: 200, body: 'Ending already.\n' });
  t.equal(orders(), 1);
});

t.test('it is asked by any name of loopback', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.1.2.3', '[::1]', 'LOCALHOST:9464', `[::1]:1`]) {
    const { port, orders } = await startServer(t);
    t.equal((await ask({ port, host: '127.0.0.1', headers: { host } })).status, 200, host);
    t.equal(orders(), 1, host);
  }
});

t.test('a listener on all addresses of both families hears loopback of each', { skip: !ipv6 }, async (t) => {
  for (const host of ['::1', '127.0.0.1']) {
    const { port, orders } = await startServer(t, { address: { host: '::', port: 0 } });
    t.equal((await ask({ port, host })).status, 200, host);
    t.equal(orders(), 1, host);
  }
});

t.test('through a socket file, whoever may open it may order', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-quit-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socketPath = join(folder, 's');
  const { orders } = await startServer(t, { address: { path: socketPath } });
  t.equal((await ask({ socketPath })).status, 200);
  t.equal(orders(), 1);
});

t.test('from the pod network it is quit_peer_forbidden, whatever its Host says', { skip: !outside }, async (t) => {
  const { test, port, orders } = await startServer(t, { address: { host: '0.0.0.0', port: 0 } });
  for (const headers of [{}, { host: 'localhost' }, { host: '127.0.0.1', 'x-forwarded-for': '127.0.0.1' }]) {
    const answer = await ask({ port, host: outside ?? '', headers });
    t.equal(answer.status, 403);
    t.match(JSON.parse(answer.body), { code: 'quit_peer_forbidden', status: 403, next: /same pod/ });
  }
  t.equal(orders(), 0);
  const errors = (await test.scrape()).get('sidebearer_errors_total');
  t.equal(errors?.samples.find(({ labels }) => labels['code'] === 'quit_peer_forbidden')?.value, 3, 'counted');
  t.match(test.lines, [{ level: 'warn', event: 'quit_refused', code: 'quit_peer_forbidden', address: outside }]);
});

t.test(
  'what a mesh’s proxy hands on comes from loopback to the pod’s address: refused as well',
  { skip: !outside },
  async (t) => {
    const { port, orders } = await startServer(t, { address: { host: '0.0.0.0', port: 0 } });
    const answer = await ask({ port, host: outside ?? '', localAddress: '127.0.0.6', headers: { host: 'localhost' } });
    t.match(answer, { status: 403, body: /quit_peer_forbidden/ });
    t.equal(orders(), 0);
  },
);

t.test('a name that leads to loopback but is none of its own is quit_host_forbidden', async (t) => {
  const { port, orders } = await startServer(t);
  const others = ['rebound.example', 'localhost.example', '127.0.0.1.nip.io', '10.0.0.7', 'localhost@x', '[::1].x'];
  for (const host of others) {
    t.match(
      await ask({ port, host: '127.0.0.1', headers: { host } }),
      { status: 403, body: /quit_host_forbidden/ },
      host,
    );
  }
  for (const lines of ['Host: localhost\r\nHost: localhost\r\n', 'Host:\r\n']) {
    t.match(await askRaw(port, lines), /^HTTP\/1\.1 403 /, lines);
  }
  t.equal(orders(), 0);
});

t.test('a page in a browser is quit_origin_forbidden, its form and its fetch alike', async (t) => {
  const { port, orders } = await startServer(t);
  const pages = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `http://127.0.0.1:${port}` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ];
  for (const headers of pages) {
    const answer = await ask({ port, host: '127.0.0.1', headers });
    t.match(answer, { status: 403, body: /quit_origin_forbidden/ }, JSON.stringify(headers));
  }
  t.equal(orders(), 0);
});

t.test('other methods are quit_method_unknown, and told what is allowed', async (t) => {
  const { port, orders } = await startServer(t);
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
    const answer = await ask({ port, host: '127.0.0.1', method });
    t.match(answer, { status: 405, allow: 'POST', body: /quit_method_unknown/ }, method);
  }
  t.equal((await ask({ port, host: '127.0.0.1', method: 'HEAD' })).status, 405);
  t.equal((await ask({ port, host: '127.0.0.1', path: '/quitquitquit/' })).status, 404);
  t.equal(orders(), 0);
});

t.test('switched off it is a path like any other; who could order it is told the setting', async (t) => {
  const { test, port } = await startServer(t, { isOn: false, address: { host: '0.0.0.0', port: 0 } });
  t.match(await ask({ port, host: '127.0.0.1' }), { status: 404, body: /"code":"quit_off".*shutdown\.quit: true/ });
  const unknown = await ask({ port, host: '127.0.0.1', path: '/unknown' });
  t.same(await ask({ port, host: '127.0.0.1', method: 'GET' }), { ...unknown, allow: undefined });
  if (outside !== undefined) t.same(await ask({ port, host: outside }), unknown);
  t.same(test.lines, []);
});
