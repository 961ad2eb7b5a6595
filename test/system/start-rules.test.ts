// What happens where a port is busy, a setting is wrong, or the oauth listener is off.
import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import { logIn } from './_login.ts';
import { eventually, runCommand, runProgram, startProgram } from './_process.ts';
import { callEcho, createWorld } from './_world.ts';

t.test('a busy oauth port without a stored token: exit 13, naming port, holder and setting', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const blocker = createServer().listen(Number(new URL(world.oauthUrl).port), '127.0.0.1');
  await once(blocker, 'listening');
  const ended = await startProgram(world.config());
  t.match(ended, { exit: 13 });
  if ('exit' in ended) {
    t.match(ended.output, /listen_port_busy/);
    t.match(ended.output, new RegExp(`127\\.0\\.0\\.1:${new URL(world.oauthUrl).port}`));
    t.match(ended.output, /listen\.oauth/);
    t.match(ended.output, new RegExp(`pid ${process.pid}`), 'who holds it');
    t.notMatch(ended.output, /"listener":"(proxy|telemetry)","url"/, 'nothing else was started');
  }
  blocker.close();
  await world.close();
});

t.test(
  'a busy oauth port while a stored token serves: it warns, counts, and binds when the port is free',
  async (t) => {
    const world = await createWorld({ tokenSeconds: 60 });
    const first = await runProgram(world.config());
    t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
    await first.end();
    const blocker = createServer().listen(Number(new URL(world.oauthUrl).port), '127.0.0.1');
    await once(blocker, 'listening');
    const program = await runProgram(world.config());
    t.equal((await callEcho(`${program.proxyUrl}/x`)).response.status, 200);
    t.equal((await fetch(`${program.telemetryUrl}/readyz`)).status, 200);
    t.ok(program.lines.some((line) => line.level === 'warn' && line.code === 'listen_port_busy'));
    const metrics = await (await fetch(`${program.telemetryUrl}/metrics`)).text();
    t.match(metrics, /sidebearer_errors_total\{layer="listen",code="listen_port_busy"\} 1/);
    blocker.close();
    await eventually('the listener', () => (program.oauthUrl === undefined ? undefined : true));
    t.equal((await fetch(`${world.oauthUrl}/status.json`)).status, 200);
    t.equal(await program.end(), 0);
    await world.close();
  },
);

t.test('a busy proxy port: exit 13', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const address = blocker.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const ended = await startProgram(world.config().replace('proxy: "127.0.0.1:0"', `proxy: "127.0.0.1:${port}"`));
  t.match(ended, { exit: 13, output: /listen\.proxy/ });
  blocker.close();
  await world.close();
});

t.test('a busy oauth port is told at once, whatever shutdown.minDrain says', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const blocker = createServer().listen(Number(new URL(world.oauthUrl).port), '127.0.0.1');
  await once(blocker, 'listening');
  const ended = await startProgram(world.config().replace('maxDrain: 3s', 'minDrain: 3s, maxDrain: 3s'));
  t.match(ended, { exit: 13, output: /^sidebearer: listen_port_busy: /m });
  blocker.close();
  await world.close();
});

t.test('a wrong configuration: exit 1 with every mistake', async (t) => {
  const ended = await startProgram('routes:\n  - upstream: nonsense\n    credentail: x\ncredentials: {}\n');
  t.match(ended, { exit: 1 });
  if ('exit' in ended) {
    t.match(ended.output, /2:15: config_value_invalid/);
    t.match(ended.output, /3:5: config_key_unknown.*credential/);
    t.match(ended.output, /store/);
  }
});

t.test('a persistent store without a key: exit 1 with config_keys_missing', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const ended = await startProgram(world.config().replace(/keys: \[[^\]]*\], /, ''));
  t.match(ended, { exit: 1, output: /config_keys_missing/ });
  await world.close();
});

t.test('listen.oauth off: a request that would need a login names the setting', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const program = await runProgram(world.config().replace(/oauth: "[^"]*"/, 'oauth: off'));
  t.equal(program.oauthUrl, undefined);
  const { response, text } = await callEcho(`${program.proxyUrl}/x`);
  t.equal(response.headers.get('sidebearer-error'), 'grant_absent');
  t.match(text, /listen\.oauth/);
  const input = world
    .config()
    .replace(/oauth: "[^"]*", telemetry: "[^"]*"/, `oauth: off, telemetry: "${new URL(program.telemetryUrl).host}"`);
  t.match(await runCommand(['status', '--config', '-'], input), {
    exit: 0,
    output: /demo +- +absent +no[\s\S]*listen\.oauth/,
  });
  await program.end();
  await world.close();
});
