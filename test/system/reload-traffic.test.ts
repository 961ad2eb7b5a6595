// What is under way while the configuration changes: a redeem, requests that wait for it, streams, upgrades, and
// connections whose certificates are replaced.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { createAuthority } from '../providers/_certificate.ts';
import { startTlsUpstream } from '../proxy/_tls-upstream.ts';
import { createMount } from './_mount.ts';
import { eventually, runProgramWith } from './_process.ts';
import { call, createUpstream, told, toldTimes } from './_reload.ts';
import { createRotatingEndpoint } from './_rotating-endpoint.ts';

const listen = 'listen: { proxy: "127.0.0.1:0", oauth: "127.0.0.1:0", telemetry: "127.0.0.1:0" }';

t.setTimeout(120_000);

function gate(): { readonly until: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { until: promise, open: resolve };
}

t.test('a redeem in flight over three reloads is one redeem, and whoever waits for it is served', async (t) => {
  const endpoint = await createRotatingEndpoint();
  t.teardown(() => endpoint.close());
  const upstream = await createUpstream(t, 'one');
  const store = mkdtempSync(join(tmpdir(), 'sidebearer-reload-'));
  t.teardown(() => rmSync(store, { recursive: true, force: true }));
  const seed = endpoint.login().refreshToken;
  const config = (header: string, secret: string): string => `${listen}
routes: [{ upstream: "${upstream.url}", credential: app }]
credentials:
  app:
    provider: oauth2
    tokenUrl: "${endpoint.url}/token"
    grant: refresh_token
    clientId: app
    clientAuth: post
    clientSecret: "${secret}"
    refreshToken: "${seed}"
    inject: { header: ${header}, format: "Bearer {token}" }
    refresh: { timeout: 10s }
store: { kind: file, path: "${store}", plaintext: true, lease: 2s }
`;
  const mount = createMount(t, { 'config.yaml': config('authorization', 'secret-0') });
  const inFlight = gate();
  endpoint.script.push({ until: inFlight.until });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  await endpoint.redeemed(1);
  const waiting = Array.from({ length: 20 }, () => call(program.proxyUrl));
  for (let round = 1; round <= 3; round += 1) {
    mount.swap({ 'config.yaml': config('authorization', `secret-${round}`) });
    const lines = await toldTimes(program, 'config_reloaded', round);
    t.strictSame(lines.at(-1)?.['settings'], 'credentials.app.clientSecret');
  }
  inFlight.open();
  const answers = await Promise.all(waiting);
  t.strictSame([...new Set(answers.map(({ status }) => status))], [200]);
  t.equal(endpoint.redeems.length, 1, 'one for all');
  t.equal(endpoint.reuses.length, 0);

  // And what is stored is what the new settings go on with: the next one is the successor.
  mount.swap({ 'config.yaml': config('x-token', 'secret-4') });
  await toldTimes(program, 'config_reloaded', 4);
  await call(program.proxyUrl);
  t.match(upstream.requests.at(-1), { 'x-token': answers[0]?.echo.authorization });
  t.equal(upstream.requests.at(-1)?.authorization, undefined);
  const status = await fetch(`${program.oauthUrl}/oauth/refresh`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ credential: 'app' }),
  });
  t.equal(status.status, 200);
  t.strictSame(
    endpoint.redeems.map(({ outcome }) => outcome),
    ['rotated', 'rotated'],
  );
  for (const secret of ['secret-', seed, 'at-', 'rt-']) t.notOk(program.output().includes(secret), secret);
  t.equal(await program.end(), 0);
});

t.test('a redeem of a credential that was taken out is waited for at the end, and stored', async (t) => {
  const endpoint = await createRotatingEndpoint();
  t.teardown(() => endpoint.close());
  const upstream = await createUpstream(t, 'one');
  const store = mkdtempSync(join(tmpdir(), 'sidebearer-reload-'));
  t.teardown(() => rmSync(store, { recursive: true, force: true }));
  const tokens = createMount(t, { token: 'token-1' });
  const seed = endpoint.login().refreshToken;
  const config = (credentials: string, credential: string): string => `${listen}
routes: [{ upstream: "${upstream.url}", credential: ${credential} }]
credentials:
${credentials}
store: { kind: file, path: "${store}", plaintext: true, lease: 2s }
shutdown: { minDrain: 0s, maxDrain: 1ms }
`;
  const app = `  app: { provider: oauth2, tokenUrl: "${endpoint.url}/token", grant: refresh_token, clientId: app, clientAuth: none, refreshToken: ${seed}, refresh: { timeout: 20s } }`;
  const other = `  other: { provider: file, path: "${tokens.path('token')}" }`;
  const mount = createMount(t, { 'config.yaml': config(app, 'app') });
  const inFlight = gate();
  endpoint.script.push({ until: inFlight.until });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  await endpoint.redeemed(1);
  mount.swap({ 'config.yaml': config(other, 'other') });
  await toldTimes(program, 'config_reloaded', 1);
  // It comes back meanwhile: the same redeem serves it, and no second one is sent beside it.
  mount.swap({ 'config.yaml': config(app, 'app') });
  await toldTimes(program, 'config_reloaded', 2);
  mount.swap({ 'config.yaml': config(other, 'other') });
  await toldTimes(program, 'config_reloaded', 3);
  t.equal(endpoint.redeems.length, 1);
  const ended = program.end();
  await eventually('the proxy to be closed', async () =>
    (await fetch(program.proxyUrl).catch(() => undefined)) === undefined ? true : undefined,
  );
  // Longer than the settings that are in force now would have it wait, and shorter than those that it was sent under.
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  const livez = await fetch(`${program.telemetryUrl}/livez`).catch(() => undefined);
  t.equal(livez?.status, 200, 'neither store nor telemetry is closed yet');
  inFlight.open();
  t.equal(await ended, 0);

  mount.swap({ 'config.yaml': config(app, 'app') });
  const again = await runProgramWith(['--config', mount.path('config.yaml')]);
  t.equal((await call(again.proxyUrl)).status, 200);
  t.equal(endpoint.redeems.length, 1, 'what it brought is stored');
  t.equal(await again.end(), 0);
});

t.test('a request keeps its upstream, a WebSocket its connection; new ones go by the new route', async (t) => {
  const [one, two] = [await createUpstream(t, 'one'), await createUpstream(t, 'two')];
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(sockets, 'listening');
  t.teardown(() => sockets.close());
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)));
  const { port } = sockets.address() as AddressInfo;
  const tokens = createMount(t, { token: 'token-1' });
  const config = (api: string, live: string): string => `${listen}
routes:
  - { path: /api, upstream: "${api}", credential: app }
${live}
credentials: { app: { provider: file, path: "${tokens.path('token')}" } }
store: { kind: memory }
`;
  const live = `  - { name: live, path: /live, upstream: "http://127.0.0.1:${port}", credential: app }`;
  const mount = createMount(t, { 'config.yaml': config(one.url, live) });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  const socket = new WebSocket(`${program.proxyUrl.replace('http', 'ws')}/live`);
  await once(socket, 'open');
  const held = gate();
  one.gate = held.until;
  const slow = call(`${program.proxyUrl}/api/slow`);
  await eventually('it is at work', async () => (one.requests.length > 0 ? true : undefined));

  mount.swap({ 'config.yaml': config(two.url, '') });
  await toldTimes(program, 'config_reloaded', 1);
  t.equal((await call(`${program.proxyUrl}/api/quick`)).echo.upstream, 'two');
  t.equal((await call(`${program.proxyUrl}/live`)).code, 'route_unknown');
  socket.send('still here');
  const [data] = await once(socket, 'message');
  t.equal(String(data), 'echo still here');
  held.open();
  t.match(await slow, { status: 200, echo: { upstream: 'one' } });
  socket.close();
  await once(socket, 'close');
  t.equal(await program.end(), 0);
});

t.test(
  'certificates are replaced: of the listener, of its clients, and of those that an upstream is trusted by',
  async (t) => {
    const servers = createAuthority('servers');
    const clients = createAuthority('clients');
    const [old, renewed] = [servers.issue({ addresses: ['127.0.0.1'] }), servers.issue({ addresses: ['127.0.0.1'] })];
    const upstream = await startTlsUpstream(t, servers.issue({ addresses: ['127.0.0.1'] }));
    const other = createAuthority('other').cert;
    const files = (pair: { cert: string; key: string }, ca: string, clientCa: string) => ({
      'tls.crt': pair.cert,
      'tls.key': pair.key,
      'upstream.pem': ca,
      'clients.pem': clientCa,
    });
    const mount = createMount(t, files(old, other, other));
    const config = createMount(t, {
      'config.yaml': `
listen:
  proxy: "127.0.0.1:0"
  oauth: "off"
  telemetry: "127.0.0.1:0"
  tls: { cert: "${mount.path('tls.crt')}", key: "${mount.path('tls.key')}" }
  clients: { ca: "${mount.path('clients.pem')}" }
routes: [{ upstream: "${upstream.url}", credential: app, tls: { ca: "${mount.path('upstream.pem')}" } }]
credentials: { app: { provider: file, path: /nowhere/token } }
store: { kind: memory }
`,
    });
    const program = await runProgramWith(['--config', config.path('config.yaml')]);
    const { port } = new URL(program.proxyUrl);
    const client = clients.issue({});
    /** Resolves with the certificate that was shown, or with nothing where we were not let in. */
    const enter = async (shows: { cert: string; key: string } = client) => {
      const socket = connect({ host: '127.0.0.1', port: Number(port), ca: servers.cert, ...shows });
      const shown = Promise.withResolvers<string | undefined>();
      socket.on('error', () => shown.resolve(undefined));
      socket.on('close', () => shown.resolve(undefined));
      socket.on('data', () => shown.resolve(socket.getPeerCertificate().serialNumber));
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      return { socket, serial: await shown.promise };
    };
    const refused = await enter();
    t.equal(refused.serial, undefined, 'its authority is not trusted yet');

    mount.swap(files(old, other, clients.cert));
    await toldTimes(program, 'config_reloaded', 1);
    t.equal(told(program, 'config_reloaded')[0]?.['settings'], '');
    t.strictSame(told(program, 'config_reloaded')[0]?.['files'], mount.path('clients.pem'));
    const before = await enter();
    t.type(before.serial, 'string');

    mount.swap(files(renewed, servers.cert, clients.cert));
    await toldTimes(program, 'config_reloaded', 2);
    const after = await enter();
    t.type(after.serial, 'string');
    t.not(after.serial, before.serial, 'the renewed certificate is shown');
    const again = once(before.socket, 'data');
    before.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    t.match(String(await again), /^HTTP\/1\.1 503/, 'and the connection from before is still served');

    // A key that belongs to another certificate: nothing changes.
    mount.swap(files({ cert: old.cert, key: renewed.key }, servers.cert, clients.cert));
    await toldTimes(program, 'config_refused', 2);
    t.match(told(program, 'config_refused')[0], { code: 'tls_file_unusable', setting: 'listen.tls.key' });
    const still = await enter();
    t.equal(still.serial, after.serial);
    const stranger = await enter(createAuthority('strangers').issue({}));
    t.equal(stranger.serial, undefined, 'and clients must still show a certificate of their authority');
    for (const { socket } of [refused, before, after, still, stranger]) socket.destroy();
    t.notMatch(program.output(), /PRIVATE KEY/);
    t.equal(await program.end(), 0);
  },
);

t.test('an upstream is trusted by its new authority without a restart', async (t) => {
  const servers = createAuthority('servers');
  const upstream = await startTlsUpstream(t, servers.issue({ addresses: ['127.0.0.1'] }));
  const mount = createMount(t, { 'ca.pem': createAuthority('other').cert, token: 'token-1' });
  const config = createMount(t, {
    'config.yaml': `${listen}
routes: [{ upstream: "${upstream.url}", credential: app, tls: { ca: "${mount.path('ca.pem')}" } }]
credentials: { app: { provider: file, path: "${mount.path('token')}" } }
store: { kind: memory }
`,
  });
  const program = await runProgramWith(['--config', config.path('config.yaml')]);
  t.equal((await fetch(program.proxyUrl)).status, 502);
  mount.swap({ 'ca.pem': servers.cert, token: 'token-1' });
  await toldTimes(program, 'config_reloaded', 1);
  t.equal((await fetch(program.proxyUrl)).status, 200);
  t.equal(await program.end(), 0);
});
