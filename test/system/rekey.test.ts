// A key is changed under the running program: the new one comes first, everything is sealed anew, the old one goes.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { logIn } from './_login.ts';
import { runCommand, runProgram } from './_process.ts';
import { callEcho, createWorld } from './_world.ts';

t.test('a login outlives the key that it was sealed with', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  t.teardown(() => world.close());
  const newer = randomBytes(32).toString('base64');
  const withKeys = (...keys: string[]): string =>
    world.config().replace(`keys: ["${world.key}"]`, `keys: [${keys.map((key) => `"${key}"`).join(', ')}]`);
  let program = await runProgram(withKeys(world.key));
  await logIn(world.oauthUrl, 'demo');
  await program.end();

  program = await runProgram(withKeys(newer, world.key));
  const first = await runCommand(['rekey', '--url', world.oauthUrl]);
  t.match(first, { exit: 0, output: /demo: sealed under the first key\nEvery record is sealed/ });
  t.match(await runCommand(['rekey', '--url', world.oauthUrl]), {
    exit: 0,
    output: /was sealed under the first key already/,
  });
  const json = await runCommand(['rekey', '--url', world.oauthUrl, '--json']);
  t.strictSame(JSON.parse(json.output), { credentials: [{ credential: 'demo', result: 'current' }] });
  t.equal((await callEcho(`${program.proxyUrl}/x`)).response.status, 200);
  await program.end();

  program = await runProgram(withKeys(newer));
  t.equal((await callEcho(`${program.proxyUrl}/x`)).response.status, 200, 'the old key is needed no more');
  t.equal(await program.end(), 0);
  t.match(await runCommand(['rekey', '--url', world.oauthUrl]), { exit: 1, output: /sidecar_unreachable/ });
});
