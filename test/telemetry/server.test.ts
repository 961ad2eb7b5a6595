import { connect } from 'node:net';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { bind } from '../../src/listen.ts';
import type { ProbeFacts } from '../../src/telemetry/probes.ts';
import { createTelemetryServer, type TelemetryServerOptions } from '../../src/telemetry/server.ts';
import { parseExposition } from './_exposition.ts';
import { createTestTelemetry } from './_telemetry.ts';

async function startServer(t: Test, more: Partial<TelemetryServerOptions> = {}) {
  const { metrics } = await createTestTelemetry();
  const facts: ProbeFacts & { isBound: boolean; isStopping: boolean } = {
    isBound: true,
    isStopping: false,
    require: 'any',
    credentials: () => [{ name: 'codex', state: 'dead', usable: false }],
  };
  const telemetry = createTelemetryServer({ metrics, probes: () => facts, ...more });
  const { url } = await bind(telemetry.server, { host: '127.0.0.1', port: 0 }, 'listen.telemetry');
  t.teardown(() => telemetry.close(0));
  return { url, facts, telemetry };
}

t.test('/metrics answers with an exposition that parses', async (t) => {
  const { url } = await startServer(t);
  const response = await fetch(`${url}/metrics`);
  t.equal(response.status, 200);
  t.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  t.ok(parseExposition(await response.text()).has('sidebearer_build_info'));
});

t.test('the probes answer by what is known at that moment, with reasons', async (t) => {
  const { url, facts } = await startServer(t);
  const probe = async (path: string) => {
    const response = await fetch(`${url}${path}`);
    return { status: response.status, body: await response.json() };
  };
  t.strictSame(await probe('/livez'), { status: 200, body: { status: 'ok', reasons: [] } });
  t.strictSame(await probe('/startupz'), { status: 200, body: { status: 'ok', reasons: [] } });
  t.strictSame(await probe('/readyz?verbose'), {
    status: 503,
    body: { status: 'unavailable', reasons: ['Credential codex has no usable token (dead).'] },
  });
  facts.isBound = false;
  t.equal((await probe('/startupz')).status, 503);
  facts.isBound = true;
  facts.isStopping = true;
  t.strictSame((await probe('/readyz')).body, { status: 'unavailable', reasons: ['The process is stopping.'] });
  t.equal((await probe('/livez')).status, 200, 'a process that stops is alive');
});

t.test('HEAD has the head alone, other methods are 405, other paths 404', async (t) => {
  const { url } = await startServer(t);
  const head = await fetch(`${url}/livez`, { method: 'HEAD' });
  t.equal(head.status, 200);
  t.equal(await head.text(), '');
  const post = await fetch(`${url}/metrics`, { method: 'POST', body: 'x'.repeat(100_000) });
  t.equal(post.status, 405);
  t.equal(post.headers.get('allow'), 'GET, HEAD');
  for (const path of ['/', '/metrics/', '/METRICS', '/readyz/codex', '//livez', '/../metrics/x']) {
    const response = await fetch(`${url}${path}`);
    t.equal(response.status, 404, path);
    t.match(await response.text(), '/metrics, /livez, /readyz, /startupz');
  }
});

t.test('an exposition that cannot be made is 500 without a word of why, told to the log', async (t) => {
  const thrown: unknown[] = [];
  const { url } = await startServer(t, {
    metrics: { expose: () => Promise.reject(new Error('S3cr3t')) },
    failed: (each) => thrown.push(each),
  });
  const response = await fetch(`${url}/metrics`);
  t.equal(response.status, 500);
  t.notMatch(await response.text(), 'S3cr3t');
  t.equal(thrown.length, 1);
});

t.test('close ends although a client keeps its connection half open', async (t) => {
  const { url, telemetry } = await startServer(t);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n', () => resolve()));
  await telemetry.close(20);
  await closed;
  t.notOk(telemetry.server.listening);
  await telemetry.close(20);
});

t.test('whoever opens connections without end makes the oldest go, and keeps no probe out', async (t) => {
  const { url, telemetry } = await startServer(t);
  const count = promisify(telemetry.server.getConnections.bind(telemetry.server));
  const silent = Array.from({ length: 600 }, () => connect(Number(new URL(url).port), '127.0.0.1'));
  t.teardown(() => {
    for (const socket of silent) socket.destroy();
  });
  let closed = 0;
  const oldestGone = new Promise<void>((resolve) => {
    for (const socket of silent) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        closed += 1;
        if (closed >= 600 - 256) resolve();
      });
    }
  });
  await oldestGone;
  t.ok((await count()) <= 256);
  t.equal((await fetch(`${url}/livez`)).status, 200);
});
