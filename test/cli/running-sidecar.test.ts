// `status` and `wait` against a server that answers as a sidecar does, or does not.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { formatTable } from '../../src/cli/status.ts';
import { minimal } from '../config/_source.ts';
import { sidebearer } from './_command.ts';

async function serve(t: Test, answer: RequestListener, path?: string): Promise<number> {
  const server = createServer(answer);
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve),
  );
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const body = JSON.stringify({
  version: '1.0.0',
  credentials: [{ name: 'codex', provider: 'codex', state: 'fresh', usable: true, account: { email: 'a@b.c' } }],
});

t.test('status prints a table, or with --json what the sidecar says, and asks as localhost', async (t) => {
  const seen: string[] = [];
  const port = await serve(t, (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.host}`);
    response.end(body);
  });
  const { code, out } = await sidebearer(['status', '--url', `http://127.0.0.1:${port}`]);
  t.equal(code, 0);
  t.match(out, /^CREDENTIAL +PROVIDER +STATE[^\n]*\ncodex +codex +fresh +yes +- +- +a@b\.c +-\n$/);
  const json = await sidebearer(['status', '--json'], { env: { SIDEBEARER_LISTEN_OAUTH: `0.0.0.0:${port}` } });
  t.strictSame(JSON.parse(json.out), JSON.parse(body));
  t.strictSame(seen, Array(2).fill(`GET /status.json localhost:${port}`));
});

t.test('status finds a unix socket by the configuration', async (t) => {
  // The kernel takes 107 bytes of a path, and a checkout may lie deeper.
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 's');
  await serve(t, (_, response) => response.end(body), socket);
  const input = `${minimal}listen: { oauth: "unix:${socket}" }\n`;
  t.match(await sidebearer(['status', '--config', '-'], { input }), { code: 0, out: /codex/ });
});

t.test('status with the OAuth listener off tells what /metrics tells, and names the setting for a login', async (t) => {
  const expiry = Math.floor(Date.now() / 1_000) + 3_600;
  const port = await serve(t, (request, response) => {
    if (request.url !== '/metrics') return response.writeHead(404).end();
    return response.end(
      'sidebearer_credential_state{credential="api",state="fresh"} 1\n' +
        'sidebearer_credential_state{credential="api",state="dead"} 0\n' +
        `sidebearer_token_expiry_timestamp_seconds{credential="api"} ${expiry}\n` +
        'sidebearer_credential_state{credential="codex",state="dead"} 1\nother{credential="codex"} 1\n',
    );
  });
  const input = `${minimal}listen: { oauth: off, telemetry: "127.0.0.1:${port}" }\n`;
  const table = await sidebearer(['status', '--config', '-'], { input });
  t.match(table, { code: 0, err: /codex.*listen\.oauth/ });
  t.match(table.out, /^api +- +fresh +yes +in (?:59|60)m/m);
  t.match(table.out, /^codex +- +dead +no +-/m);
  const json = await sidebearer(['status', '--config', '-', '--json'], { input });
  t.match(JSON.parse(json.out), { credentials: [{ name: 'api', state: 'fresh', expiresAtMs: expiry * 1_000 }, {}] });
});

t.test('status with the OAuth listener off and no metrics of single credentials is oauth_listener_off', async (t) => {
  const port = await serve(t, (_, response) => response.end('process_cpu_seconds_total 1\n'));
  const input = `${minimal}listen: { oauth: off, telemetry: "127.0.0.1:${port}" }\n`;
  const outcome = await sidebearer(['status', '--config', '-'], { input });
  t.match(outcome, { code: 1, out: '', err: /^sidebearer: oauth_listener_off: .*listen\.oauth/ });
});

t.test('status of nobody, or of something that is no sidecar, is sidecar_unreachable with exit 1', async (t) => {
  const answers: readonly RequestListener[] = [
    (_, response) => response.end('hello'),
    (_, response) => response.end('{"credentials": 3}'),
    (_, response) => response.writeHead(403).end('{}'),
    (request) => request.socket.destroy(),
    () => {
      // Never answers.
    },
  ];
  for (const answer of answers) {
    const port = await serve(t, answer);
    const outcome = await sidebearer(['status', '--url', `http://127.0.0.1:${port}`, '--timeout', '500ms']);
    t.match(outcome, { code: 1, out: '', err: /^sidebearer: sidecar_unreachable: / });
  }
  t.match(await sidebearer(['status', '--url', 'http://127.0.0.1:1']), { code: 1, err: /ECONNREFUSED/ });
});

t.test('status with a wrong configuration prints its mistakes and exits 1', async (t) => {
  const outcome = await sidebearer(['status', '--config', '-'], { input: 'log: 1\n' });
  t.match(outcome, { code: 1, err: /<stdin>:1:6: config_value_invalid/ });
});

t.test('wait returns 0 as soon as /readyz answers 200', async (t) => {
  let asked = 0;
  const port = await serve(t, (request, response) => {
    asked += 1;
    response.writeHead(request.url === '/readyz' && asked > 2 ? 200 : 503).end();
  });
  t.match(await sidebearer(['wait', '--url', `http://127.0.0.1:${port}`, '--timeout', '30s']), { code: 0 });
  t.equal(asked, 3);
});

t.test('wait returns 1 with sidecar_not_ready and what it saw when the time is over', async (t) => {
  const port = await serve(t, (_, response) => response.writeHead(503).end());
  const late = await sidebearer(['wait', '--listen-telemetry', `127.0.0.1:${port}`, '--timeout', '300ms']);
  t.match(late, { code: 1, err: /^sidebearer: sidecar_not_ready: .*\/readyz answers 503/ });
  const nobody = await sidebearer(['wait', '--url', 'http://127.0.0.1:1', '--timeout', '300ms']);
  t.match(nobody, { code: 1, err: /no connection \(ECONNREFUSED\)/ });
});

t.test('flags of status and wait that make no sense are usage_invalid', async (t) => {
  for (const argv of [
    ['wait', '--timeout', '5'],
    ['wait', '--timeout', '0s'],
    ['wait', '--url', 'localhost:9464'],
    ['status', '--url', 'ftp://localhost'],
    ['status', '--listen-oauth', '1455'],
  ]) {
    t.match(await sidebearer(argv), { code: 2, err: /usage_invalid/ }, argv.join(' '));
  }
});

t.test('the table shows times as distances, and no control character of a foreign answer', async (t) => {
  const now = 1_000_000_000;
  const table = formatTable(
    [
      {
        name: 'a\u001b[31m',
        usable: false,
        expiresAtMs: now + 90_000,
        refreshDueAtMs: now + 3_600_000,
        lastError: { code: 'breaker_open' },
      },
      { name: 'b', expiresAtMs: now - 3 * 86_400_000, refreshDueAtMs: now, coolingUntilMs: now + 7_200_000 },
      {},
    ],
    now,
  );
  t.match(table, /^a\?\[31m +- +- +no +in 90s +in 60m +- +breaker_open$/m);
  t.match(table, /^b +- +- +no +3d ago +in 2h +- +-$/m);
  t.notOk(table.includes('\u001b'));
});
