// A changed configuration in a running program: what it changes, what it leaves alone, and that no request notices.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createMount } from './_mount.ts';
import { eventually, runCommand, runProgram, runProgramWith } from './_process.ts';
import { call, createUpstream, metric, metricsText, told, toldTimes } from './_reload.ts';
import { createTokenService } from './_token-service.ts';

const listen = 'listen: { proxy: "127.0.0.1:0", oauth: "127.0.0.1:0", telemetry: "127.0.0.1:0" }';
const key = (): string => randomBytes(32).toString('base64');

t.test('a swapped ConfigMap is in force within moments, and not one of a stream of requests fails', async (t) => {
  const [one, two] = [await createUpstream(t, 'one'), await createUpstream(t, 'two')];
  const config = (upstream: string, token: string): string => `
${listen}
routes: [{ upstream: "${upstream}", credential: app }]
credentials: { app: { provider: file, path: "${token}" } }
store: { kind: memory }
`;
  const tokens = createMount(t, { token: 'secret-token-1' });
  const mount = createMount(t, { 'config.yaml': config(one.url, tokens.path('token')) });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  const before = await metricsText(program);
  t.match(before, /^sidebearer_config_reloads_total\{outcome="applied"\} 0$/m);

  let isOver = false;
  const answers: string[] = [];
  const failures: unknown[] = [];
  const stream = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!isOver) {
        try {
          const { status, echo } = await call(`${program.proxyUrl}/x`);
          if (status !== 200 || echo.authorization !== 'Bearer secret-token-1') failures.push([status, echo]);
          answers.push(echo.upstream);
        } catch (thrown) {
          failures.push(thrown);
        }
      }
    }),
  );
  for (let round = 1; round <= 6; round += 1) {
    const { url } = round % 2 === 1 ? two : one;
    mount.swap({ 'config.yaml': config(url, tokens.path('token')) });
    const lines = await toldTimes(program, 'config_reloaded', round);
    t.strictSame(lines.at(-1)?.['settings'], 'routes[0].upstream');
    const count = answers.length;
    await eventually('requests go on', async () => (answers.length > count + 20 ? true : undefined));
  }
  isOver = true;
  await stream;
  t.strictSame(failures, []);
  t.ok(new Set(answers).size === 2, 'both upstreams served');
  t.equal(await metric(program, 'sidebearer_config_reloads_total{outcome="applied"}'), '6');
  const hash = /sidebearer_config_info\{hash="(\w+)"\}/;
  t.equal(hash.exec(await metricsText(program))?.[1], hash.exec(before)?.[1], 'back where it began');
  t.notMatch(program.output(), /secret-token/);
  t.equal(await program.end(), 0);
});

t.test(
  'a wrong configuration is refused with every mistake, once; the old one goes on until it is mended',
  async (t) => {
    const upstream = await createUpstream(t, 'one');
    const folder = mkdtempSync(join(tmpdir(), 'sidebearer-reload-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'config.yaml');
    writeFileSync(join(folder, 'token'), 'token-1');
    const config = (extra: string): string => `${listen}
routes: [{ upstream: "${upstream.url}", credential: app${extra} }]
credentials: { app: { provider: file, path: "${join(folder, 'token')}" } }
store: { kind: memory }
`;
    const put = (text: string): void => {
      writeFileSync(join(folder, '.new'), text);
      renameSync(join(folder, '.new'), file);
    };
    put(config(''));
    const program = await runProgramWith(['--config', file]);

    put(`${config(', stripPth: true, timeouts: { connect: soon }')}`);
    await toldTimes(program, 'config_refused', 3);
    const [first, second] = told(program, 'config_refused');
    t.match(first, { level: 'error', code: 'config_key_unknown', setting: 'routes[0].stripPth', line: 2 });
    t.match(second, { level: 'error', code: 'config_value_invalid', setting: 'routes[0].timeouts.connect', line: 2 });
    t.equal((await call(program.proxyUrl)).status, 200);
    t.equal(await metric(program, 'sidebearer_config_reloads_total{outcome="refused"}'), '1');
    const configuration = async (): Promise<unknown> =>
      ((await (await fetch(`${program.oauthUrl}/status.json`)).json()) as { configuration: unknown }).configuration;
    t.match(await configuration(), {
      hash: /^[0-9a-f]{8}$/,
      readAtMs: Number,
      refused: {
        mistakes: [
          { code: 'config_key_unknown', setting: 'routes[0].stripPth', line: 2 },
          { code: 'config_value_invalid', setting: 'routes[0].timeouts.connect', line: 2 },
        ],
      },
    });
    t.equal(await metric(program, 'sidebearer_errors_total{layer="config",code="config_key_unknown"}'), '1');

    // The same again, and a neighbour in the folder: nothing is told.
    put(`${config(', stripPth: true, timeouts: { connect: soon }')}`);
    writeFileSync(join(folder, 'neighbour'), 'x');
    // What needs a restart is refused as well, and named, together with what could not be put in force anyway.
    put(
      `${config(`, tls: { ca: "${file}" }`).replace('http://127', 'https://127').replace('kind: memory', 'kind: memory, lease: 10s')}log: { format: pretty }\n`,
    );
    await toldTimes(program, 'config_refused', 7);
    t.strictSame(
      told(program, 'config_refused')
        .slice(3, 6)
        .map(({ code, setting }) => [code, setting]),
      [
        ['restart_required', 'store.lease'],
        ['restart_required', 'log.format'],
        ['tls_file_unusable', 'routes[0].tls.ca'],
      ],
    );
    t.equal(await metric(program, 'sidebearer_config_reloads_total{outcome="refused"}'), '2');

    // Gone for a moment, then mended.
    unlinkSync(file);
    put(config(', path: /api'));
    await toldTimes(program, 'config_reloaded', 1);
    t.notOk(Object.hasOwn((await configuration()) as object, 'refused'), 'it is mended');
    t.equal((await call(`${program.proxyUrl}/api`)).status, 200);
    t.equal((await call(`${program.proxyUrl}/other`)).code, 'route_unknown');
    t.equal(await metric(program, 'sidebearer_config_reloads_total{outcome="refused"}'), '2');
    t.equal(await program.end(), 0);
  },
);

t.test('SIGHUP tells what is refused again, and that nothing was changed', async (t) => {
  const upstream = await createUpstream(t, 'one');
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-reload-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'token'), 'token-1');
  writeFileSync(join(folder, 'level'), 'info\n');
  const program = await runProgram(`${listen}
routes: [{ upstream: "${upstream.url}", credential: app }]
credentials: { app: { provider: file, path: "${join(folder, 'token')}" } }
store: { kind: memory }
log: { level: "\${file:${join(folder, 'level')}}" }
`);
  program.process.kill('SIGHUP');
  await toldTimes(program, 'config_unchanged', 1);
  writeFileSync(join(folder, 'level'), 'debug\n');
  await toldTimes(program, 'config_reloaded', 1);
  t.match(told(program, 'config_reloaded')[0], { settings: 'log.level', files: join(folder, 'level') });
  await call(program.proxyUrl);
  writeFileSync(join(folder, 'level'), 'loud\n');
  await toldTimes(program, 'config_refused', 2);
  program.process.kill('SIGHUP');
  await toldTimes(program, 'config_refused', 4);
  t.equal(await program.end(), 0);
});

t.test('a client secret that was wrong is mended by its file: client_rejected ends at once', async (t) => {
  const [upstream, service] = [await createUpstream(t, 'one'), await createTokenService()];
  t.teardown(() => service.close());
  service.answer = ({ form }) =>
    form['client_secret'] === 'right-secret' ? {} : { status: 401, body: { error: 'invalid_client' } };
  const secrets = createMount(t, { secret: 'wrong-secret' });
  const program = await runProgram(`${listen}
routes: [{ upstream: "${upstream.url}", credential: app }]
credentials:
  app:
    provider: oauth2
    tokenUrl: "${service.url}"
    grant: client_credentials
    clientId: app
    clientAuth: post
    clientSecret: "\${file:${secrets.path('secret')}}"
    refresh: { cooldown: 1h }
store: { kind: memory }
`);
  await eventually('the rejection', async () =>
    (await call(program.proxyUrl)).code === 'client_rejected' ? true : undefined,
  );
  const count = service.requests.length;
  secrets.swap({ secret: 'right-secret' });
  await toldTimes(program, 'config_reloaded', 1);
  const { status, echo } = await call(program.proxyUrl);
  t.equal(status, 200);
  t.ok(service.knows(echo.authorization.slice('Bearer '.length)));
  t.equal(service.requests.length, count + 1);
  // The next secret is of no consequence for the token in hand.
  secrets.swap({ secret: 'later-secret' });
  await toldTimes(program, 'config_reloaded', 2);
  t.equal((await call(program.proxyUrl)).echo.authorization, echo.authorization);
  t.equal(service.requests.length, count + 1);
  t.notMatch(program.output(), /(?:wrong|right|later)-secret/);
  t.equal(await program.end(), 0);
});

t.test('credentials come and go with their routes, pages and series', async (t) => {
  const upstream = await createUpstream(t, 'one');
  const tokens = createMount(t, { a: 'token-a', b: 'token-b' });
  const config = (names: readonly string[]): string => `${listen}
routes:
${names.map((name) => `  - { name: ${name}, path: /${name}, upstream: "${upstream.url}", credential: ${name} }`).join('\n')}
credentials:
${names.map((name) => `  ${name}: { provider: file, path: "${tokens.path(name)}" }`).join('\n')}
store: { kind: memory }
`;
  const mount = createMount(t, { 'config.yaml': config(['a']) });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  t.equal((await call(`${program.proxyUrl}/a`)).echo.authorization, 'Bearer token-a');
  t.equal((await call(`${program.proxyUrl}/b`)).code, 'route_unknown');
  mount.swap({ 'config.yaml': config(['a', 'b']) });
  await toldTimes(program, 'config_reloaded', 1);
  t.equal((await call(`${program.proxyUrl}/b`)).echo.authorization, 'Bearer token-b');
  t.match(await metricsText(program), /sidebearer_credential_state\{credential="b",state="fresh"\} 1/);
  mount.swap({ 'config.yaml': config(['b']) });
  await toldTimes(program, 'config_reloaded', 2);
  t.equal((await call(`${program.proxyUrl}/a`)).code, 'route_unknown');
  const text = await metricsText(program);
  t.notMatch(text, /credential="a"/);
  t.notMatch(text, /route="a"/);
  const status = await (await fetch(`${program.oauthUrl}/status.json`)).json();
  t.strictSame(
    (status as { credentials: { name: string }[] }).credentials.map(({ name }) => name),
    ['b'],
  );
  t.equal(await program.end(), 0);
});

t.test('keys are rotated: both open, rekey seals under the new one, which alone opens after a restart', async (t) => {
  const [upstream, service] = [await createUpstream(t, 'one'), await createTokenService()];
  t.teardown(() => service.close());
  service.answer = () => ({ refresh_token: 'rt-next' });
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-reload-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const [oldKey, newKey] = [key(), key()];
  const config = (keys: readonly string[]): string => `${listen}
routes: [{ upstream: "${upstream.url}", credential: app }]
credentials:
  app: { provider: oauth2, tokenUrl: "${service.url}", grant: refresh_token, clientId: app, clientAuth: none, refreshToken: rt-first }
store: { kind: file, path: "${join(folder, 'store')}", keys: ${JSON.stringify(keys)} }
`;
  const mount = createMount(t, { 'config.yaml': config([oldKey]) });
  const program = await runProgramWith(['--config', mount.path('config.yaml')]);
  await eventually('the seed is redeemed', async () =>
    (await call(program.proxyUrl)).status === 200 ? true : undefined,
  );

  mount.swap({ 'config.yaml': config([newKey]) });
  await toldTimes(program, 'config_refused', 2);
  t.match(told(program, 'config_refused')[0], { code: 'record_unopenable', setting: 'store.keys', credential: 'app' });

  mount.swap({ 'config.yaml': config([newKey, oldKey]) });
  await toldTimes(program, 'config_reloaded', 1);
  t.strictSame(told(program, 'config_reloaded')[0]?.['settings'], 'store.keys');
  const rekeyed = await runCommand(['rekey', '--url', program.oauthUrl ?? '']);
  t.match(rekeyed, { exit: 0, output: /app: sealed under the first key/ });
  mount.swap({ 'config.yaml': config([newKey]) });
  await toldTimes(program, 'config_reloaded', 2);
  t.equal(await program.end(), 0);

  const again = await runProgramWith(['--config', mount.path('config.yaml')]);
  t.equal((await call(again.proxyUrl)).status, 200);
  t.equal(service.requests.length, 1, 'the stored token serves');
  t.equal(await again.end(), 0);

  // One that began with a key that opens nothing goes on at once when the right one comes.
  mount.swap({ 'config.yaml': config([key()]) });
  const late = await runProgramWith(['--config', mount.path('config.yaml')]);
  t.equal((await call(late.proxyUrl)).code, 'record_unopenable');
  mount.swap({ 'config.yaml': config([newKey]) });
  await toldTimes(late, 'config_reloaded', 1);
  await eventually('it is opened', async () => ((await call(late.proxyUrl)).status === 200 ? true : undefined));
  t.equal(service.requests.length, 1);
  t.equal(await late.end(), 0);
  for (const { output } of [program, again, late]) t.notOk([oldKey, newKey].some((each) => output().includes(each)));
});
