// Each setting that a reload applies is in force after it, in the running program; and what it leaves alone goes on:
// connections of routes that did not change, what a memory store sealed, credentials that nobody touched.
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { createAuthority } from '../providers/_certificate.ts';
import { startTlsUpstream } from '../proxy/_tls-upstream.ts';
import { createMount } from './_mount.ts';
import { eventually, runProgramWith } from './_process.ts';
import { call, createUpstream, metric, told, toldTimes } from './_reload.ts';
import { createTokenService } from './_token-service.ts';

const addresses = 'proxy: "127.0.0.1:0", oauth: "127.0.0.1:0", telemetry: "127.0.0.1:0"';

t.test('readiness, logs, limits, the end, and what clients and admins must show', async (t) => {
  const upstream = await createUpstream(t, 'one');
  const tokens = createMount(t, { app: 'token-1' });
  const config = (listen: string, rest: string): string => `
listen: { ${addresses}${listen} }
routes:
  - { upstream: "${upstream.url}", credential: app }
  - { upstream: "${upstream.url}", path: /spare, credential: spare }
credentials:
  app: { provider: file, path: "${tokens.path('app')}" }
  spare: { provider: file, path: "${tokens.path('spare')}" }
store: { kind: memory }
${rest}`;
  const mount = createMount(t, { 'config.yaml': config('', 'shutdown: { maxDrain: 10m }') });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  t.teardown(() => program.end('SIGKILL'));
  const readyz = async (): Promise<number> => (await fetch(`${program.telemetryUrl}/readyz`)).status;
  const quit = async (): Promise<number> =>
    (await fetch(`${program.telemetryUrl}/quitquitquit`, { method: 'POST' })).status;
  const resume = async (): Promise<number> =>
    (
      await fetch(`${program.oauthUrl}/oauth/resume`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: '{"credential":"app"}',
      })
    ).status;
  const get = async (path: string, client?: string): Promise<string | number> => {
    const headers = client === undefined ? {} : { 'x-client': client };
    const response = await fetch(`${program.proxyUrl}${path}`, { headers });
    await response.text();
    return response.headers.get('sidebearer-error') ?? response.status;
  };
  const accesses = (): number => program.lines.filter(({ msg }) => msg === 'Request').length;
  t.strictSame([await get('/'), await readyz(), await resume(), accesses()], [200, 200, 200, 0]);
  t.not(await quit(), 200);

  const token = 'client-token-0123456789abcdef';
  const rest = `
readiness: { require: all }
admin: { token: "admin-token-0123456789abcdef" }
shutdown: { quit: true, minDrain: 0s, maxDrain: 1ms }
limits: { inFlight: 1 }
log: { level: info, access: true }
`;
  mount.swap({ 'config.yaml': config(`, clients: { header: x-client, token: "${token}" }`, rest) });
  await toldTimes(program, 'config_reloaded', 1);
  t.equal(await get('/'), 'client_token_missing');
  t.equal(await get('/', 'another'), 'client_token_wrong');
  t.equal(await get('/', token), 200);
  t.equal(upstream.requests.at(-1)?.['x-client'], undefined);
  await eventually('the access log', async () => (accesses() >= 3 ? true : undefined));
  t.equal(await readyz(), 503);
  t.equal(await resume(), 401);

  upstream.gate = new Promise(() => undefined);
  const held = get('/held', token).catch(() => 'cut');
  await eventually('it is at work', async () => (upstream.requests.length === 3 ? true : undefined));
  t.equal(await get('/more', token), 'overloaded');
  mount.swap({ 'config.yaml': config('', rest.replace('level: info', 'level: error')) });
  await eventually('it is in force', async () =>
    (await metric(program, 'sidebearer_config_reloads_total{outcome="applied"}')) === '2' ? true : undefined,
  );
  t.equal(told(program, 'config_reloaded').length, 1, 'below the least level');
  t.equal(await quit(), 200);
  t.equal(await eventually('the end', () => program.process.exitCode ?? undefined), 0);
  t.equal(await held, 'cut', 'by the new time to drain');
  t.notMatch(program.output(), /(?:client|admin)-token-0/);
});

t.test('a route that did not change keeps its connections; one whose authority changed gets others', async (t) => {
  const servers = createAuthority('servers');
  const upstream = await startTlsUpstream(t, servers.issue({ addresses: ['127.0.0.1'] }));
  const authorities = createMount(t, { 'ca.pem': servers.cert });
  const tokens = createMount(t, { app: 'token-1' });
  const config = (level: string): string => `
listen: { ${addresses} }
routes: [{ upstream: "${upstream.url}", credential: app, http2: never, tls: { ca: "${authorities.path('ca.pem')}" } }]
credentials: { app: { provider: file, path: "${tokens.path('app')}" } }
store: { kind: memory }
log: { level: ${level} }
`;
  const mount = createMount(t, { 'config.yaml': config('info') });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  t.equal((await fetch(program.proxyUrl)).status, 200);
  mount.swap({ 'config.yaml': config('debug') });
  await toldTimes(program, 'config_reloaded', 1);
  t.equal((await fetch(program.proxyUrl)).status, 200);
  t.equal(upstream.connections(), 1);
  authorities.swap({ 'ca.pem': createAuthority('other').cert });
  await toldTimes(program, 'config_reloaded', 2);
  t.equal((await fetch(program.proxyUrl)).status, 502, 'no connection of the old authority serves');
  t.equal(await program.end(), 0);
});

t.test('a token endpoint is trusted by its new authority, and a credential that waited for it is served', async (t) => {
  const upstream = await createUpstream(t, 'one');
  const servers = createAuthority('servers');
  const server = createServer(servers.issue({ addresses: ['127.0.0.1'] }), (_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end('{"access_token":"access-1","token_type":"Bearer","expires_in":3600}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const authorities = createMount(t, { 'ca.pem': createAuthority('other').cert });
  const mount = createMount(t, {
    'config.yaml': `
listen: { ${addresses} }
routes: [{ upstream: "${upstream.url}", credential: app }]
credentials:
  app:
    provider: oauth2
    tokenUrl: "https://127.0.0.1:${(server.address() as AddressInfo).port}/token"
    grant: client_credentials
    clientId: app
    clientSecret: secret-app
    tls: { ca: "${authorities.path('ca.pem')}" }
    refresh: { attempts: 1, cooldown: 1h }
    breaker: { resetAfter: 1h }
store: { kind: memory }
`,
  });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  await eventually('its certificate is refused', async () =>
    (await call(program.proxyUrl)).status === 503 ? true : undefined,
  );
  authorities.swap({ 'ca.pem': servers.cert });
  await toldTimes(program, 'config_reloaded', 1);
  t.equal((await call(program.proxyUrl)).echo.authorization, 'Bearer access-1');
  t.equal(await program.end(), 0);
});

t.test('what a memory store holds can be opened after a reload, and a credential that came renews', async (t) => {
  const [upstream, service] = [await createUpstream(t, 'one'), await createTokenService()];
  t.teardown(() => service.close());
  service.answer = () => ({ refresh_token: 'rt-next' });
  const config = (level: string, more = ''): string => `
listen: { ${addresses} }
routes: [{ upstream: "${upstream.url}", credential: app }]
credentials:
  app: { provider: oauth2, tokenUrl: "${service.url}", grant: refresh_token, clientId: app, clientAuth: none, refreshToken: rt-first }
${more}
store: { kind: memory }
log: { level: ${level} }
`;
  const mount = createMount(t, { 'config.yaml': config('info') });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  await eventually('the seed is redeemed', async () =>
    (await call(program.proxyUrl)).status === 200 ? true : undefined,
  );
  mount.swap({ 'config.yaml': config('debug') });
  await toldTimes(program, 'config_reloaded', 1);
  const refreshed = await fetch(`${program.oauthUrl}/oauth/refresh`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: '{"credential":"app"}',
  });
  t.equal(refreshed.status, 200);
  t.strictSame(
    service.requests.map(({ form }) => form['refresh_token']),
    ['rt-first', 'rt-next'],
  );
  const machine = `  machine: { provider: oauth2, tokenUrl: "${service.url}", grant: client_credentials, clientId: m, clientSecret: secret-m }`;
  mount.swap({ 'config.yaml': config('debug', machine) });
  await eventually('it has a token, and nobody asked', async () =>
    service.requests.some(({ form }) => form['grant_type'] === 'client_credentials') ? true : undefined,
  );
  t.equal(service.requests.length, 3, 'and the other was left alone');
  t.equal(await program.end(), 0);
});
