// The program starts before its network: names that do not resolve, a provider and a store that are not there yet. It
// lives, its startup probe is green, requests are told why they wait, and it heals by itself within seconds.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import t, { type Test } from 'tap';
import { startRedisServer, skip as withoutRedis } from '../stores/_redis-server.ts';
import { eventually, freePort, type RunningProgram, runProgram, startProgram } from './_process.ts';
import { metric } from './_world.ts';

t.setTimeout(120_000);

async function startUpstream(t: Test): Promise<string> {
  const server = createServer((request, response) => response.end(request.headers.authorization));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

/** A provider that gives one token to everybody. */
async function startProvider(t: Test, port: number): Promise<void> {
  const server = createServer((request, response) => {
    request.resume();
    response.setHeader('content-type', 'application/json');
    response.end('{"access_token":"late","token_type":"Bearer","expires_in":3600,"refresh_token":"next"}');
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
}

const obtained = 'client_credentials, clientSecret: s';
const rotating = 'refresh_token, refreshToken: first';
const config = (upstream: string, tokenUrl: string, grant: string, store: string) => `
listen: { proxy: "127.0.0.1:0", oauth: off, telemetry: "127.0.0.1:0" }
routes: [{ upstream: "${upstream}", credential: api }]
credentials:
  api: { provider: oauth2, grant: ${grant}, tokenUrl: "${tokenUrl}", clientId: app }
store: ${store}
shutdown: { maxDrain: 1s }
`;

async function isUnharmed(t: Test, program: RunningProgram, code: string): Promise<void> {
  for (const probe of ['startupz', 'livez', 'readyz']) {
    t.equal((await fetch(`${program.telemetryUrl}/${probe}`)).status, 200, probe);
  }
  const answer = await fetch(`${program.proxyUrl}/x`);
  t.equal(answer.status, 503);
  t.equal(answer.headers.get('sidebearer-error'), code);
  t.ok(Number(answer.headers.get('retry-after')) >= 1, 'and when to come again');
}

const served = (program: RunningProgram): Promise<true> =>
  eventually('a served request', async () => {
    const answer = await fetch(`${program.proxyUrl}/x`);
    return (answer.status === 200 && (await answer.text()) === 'Bearer late') || undefined;
  });

t.test('the provider comes later', async (t) => {
  const port = await freePort();
  const tokenUrl = `http://127.0.0.1:${port}/token`;
  const program = await runProgram(config(await startUpstream(t), tokenUrl, obtained, '{ kind: memory }'));
  t.teardown(() => program.end('SIGKILL'));
  await isUnharmed(t, program, 'token_endpoint_unreachable');
  const attempts = 'sidebearer_token_requests_total{credential="api",grant="client_credentials",result="network"}';
  const before = (await metric(program.telemetryUrl, attempts)) ?? 0;
  t.ok(before >= 1 && before <= 12, `no busy loop: ${before} attempts`);
  await startProvider(t, port);
  const fromMs = performance.now();
  await served(program);
  t.comment(`healed ${Math.round(performance.now() - fromMs)} ms after the provider came`);
  t.equal(await program.end(), 0);
});

t.test('its name does not resolve', async (t) => {
  const tokenUrl = 'https://idp.invalid/token';
  const program = await runProgram(config(await startUpstream(t), tokenUrl, obtained, '{ kind: memory }'));
  t.teardown(() => program.end('SIGKILL'));
  await isUnharmed(t, program, 'token_endpoint_unreachable');
  t.ok(program.lines.some(({ systemCode }) => systemCode === 'EAI_AGAIN' || systemCode === 'ENOTFOUND'));
  t.equal(await program.end(), 0);
});

t.test('the store comes later', { skip: withoutRedis }, async (t) => {
  const redis = await startRedisServer(t);
  await redis.kill();
  const port = await freePort();
  await startProvider(t, port);
  const store = `{ kind: redis, url: "${redis.url}", keys: ["${Buffer.alloc(32, 7).toString('base64')}"], lease: 1s }`;

  const tokenUrl = `http://127.0.0.1:${port}/token`;
  const program = await runProgram(config(await startUpstream(t), tokenUrl, rotating, store));
  t.teardown(() => program.end('SIGKILL'));
  await isUnharmed(t, program, 'store_unavailable');
  await redis.start();
  const fromMs = performance.now();
  await served(program);
  t.comment(`healed ${Math.round(performance.now() - fromMs)} ms after the store came`);
  t.equal(await program.end(), 0);
});

t.test('SIGTERM while the store says nothing ends the start: exit 0, and no listener was bound', async (t) => {
  const silent = createTcpServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  silent.on('connection', (socket) => {
    socket.on('error', () => undefined);
    t.teardown(() => socket.destroy());
  });
  const address = silent.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const store = `{ kind: redis, url: "redis://127.0.0.1:${port}", keys: ["${Buffer.alloc(32, 7).toString('base64')}"] }`;
  const asked = once(silent, 'connection');
  let pid: number | undefined;
  const ended = startProgram(
    config('http://127.0.0.1:1', 'http://127.0.0.1:1/t', rotating, store),
    {},
    undefined,
    (child) => {
      pid = child.pid;
    },
  );
  await asked;
  process.kill(pid ?? 0, 'SIGTERM');
  const end = await ended;
  t.match(end, { exit: 0 });
  if ('exit' in end) t.notMatch(end.output, 'listener_bound');
});
