// SIGTERM: readiness goes off, accepting goes on for a while, streams end in their own time, and the exit code is 0.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { logIn } from './_login.ts';
import { eventually, runProgram } from './_process.ts';
import { callEcho, createWorld } from './_world.ts';

t.test('a stream that is under way ends whole', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const program = await runProgram(world.config().replace('maxDrain: 3s', 'minDrain: 500ms, maxDrain: 10s'));
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  const stream = await fetch(`${program.proxyUrl}/sse?count=8&every=250`);
  const reader = stream.body?.getReader();
  const first = await reader?.read();
  t.equal(first?.done, false);
  const ended = program.end('SIGTERM');
  await delay(100);
  t.equal((await fetch(`${program.telemetryUrl}/readyz`)).status, 503, 'not ready');
  t.equal((await fetch(`${program.telemetryUrl}/livez`)).status, 200, 'alive');
  t.equal((await callEcho(`${program.proxyUrl}/late`)).response.status, 200, 'still accepting');
  let text = new TextDecoder().decode(first?.value);
  for (let piece = await reader?.read(); piece !== undefined && !piece.done; piece = await reader?.read()) {
    text += new TextDecoder().decode(piece.value);
  }
  t.equal([...text.matchAll(/^id: /gm)].length, 8, 'the whole stream');
  t.equal(await ended, 0);
  await world.close();
});

t.test('a stream that does not end is cut after maxDrain, and the exit code is still 0', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const program = await runProgram(world.config().replace('maxDrain: 3s', 'maxDrain: 300ms'));
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  const stream = await fetch(`${program.proxyUrl}/sse?count=1000&every=100`);
  const reading = stream.text().then(
    () => 'ended',
    () => 'cut',
  );
  t.equal(await program.end('SIGTERM'), 0);
  t.equal(await reading, 'cut');
  t.match(
    program.lines.filter(({ event }) => event === 'stopping' || event === 'stopped'),
    [
      { level: 'info', cause: 'SIGTERM' },
      { level: 'warn', cutRequests: 1, cutUpgrades: 0 },
    ],
  );
  await world.close();
});

t.test('a second SIGTERM cuts what a first one lets finish, and the exit code is still 0', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const program = await runProgram(world.config().replace('maxDrain: 3s', 'minDrain: 600s, maxDrain: 600s'));
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  const stream = await fetch(`${program.proxyUrl}/sse?count=100000&every=100`);
  const reading = stream.text().then(
    () => 'ended',
    () => 'cut',
  );
  const ended = program.end('SIGTERM');
  await eventually(
    'not ready',
    async () => (await fetch(`${program.telemetryUrl}/readyz`)).status === 503 || undefined,
  );
  program.process.kill('SIGTERM');
  t.equal(await ended, 0);
  t.equal(await reading, 'cut');
  t.ok(program.lines.some(({ event, cutRequests }) => event === 'stopped' && cutRequests === 1));
  await world.close();
});
