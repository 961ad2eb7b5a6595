// A process that stands still (SIGSTOP, a throttled pod, a suspended laptop) and goes on: its timers are late, its
// tokens have expired meanwhile, its lease is stale. Nothing expired is sent, and nothing is redeemed twice.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { logIn } from './_login.ts';
import { runProgram } from './_process.ts';
import { callEcho, createWorld, type World } from './_world.ts';

/** What the provider answered to each redeem. */
function watchRedeems(world: World): number[] {
  const statuses: number[] = [];
  world.provider.hooks.afterToken = ({ grantType, status }) => {
    if (grantType === 'refresh_token') statuses.push(status);
    return undefined;
  };
  return statuses;
}

t.test('frozen for longer than its token lives: who asked meanwhile gets the next token', async (t) => {
  const world = await createWorld({ tokenSeconds: 3 });
  const program = await runProgram(world.config({ credential: '    refresh: { timeout: 2s }' }));
  const redeems = watchRedeems(world);
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  const before = (await callEcho(`${program.proxyUrl}/before`)).echo?.token;
  program.process.kill('SIGSTOP');
  // What comes after the freeze outlives the test, however slow the machine is.
  world.provider.accessTokenSeconds = 120;
  const asked = Array.from({ length: 20 }, () => callEcho(`${program.proxyUrl}/frozen`));
  await delay(4_000);
  program.process.kill('SIGCONT');
  const answers = await Promise.all(asked);
  const tokens = new Set(answers.map(({ echo, response }) => echo?.token ?? response.status));
  t.equal(tokens.size, 1);
  t.notOk(tokens.has(before ?? ''));
  t.equal(world.upstream.counts.refused, 0, 'nothing expired was sent');
  t.ok(
    redeems.every((status) => status === 200),
    redeems.join(),
  );
  world.provider.revokeAccessTokens();
  t.equal((await callEcho(`${program.proxyUrl}/after`)).response.status, 200, 'the grant is alive');
  t.equal(await program.end(), 0);
  await world.close();
});

t.test('frozen in the middle of a redeem, beyond its lease: the answer is taken, stored and good', async (t) => {
  const world = await createWorld({ tokenSeconds: 120 });
  const config = world.config({ credential: '    refresh: { timeout: 20s }\n    wait: { timeout: 20s }' });
  const program = await runProgram(config);
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  const redeems = watchRedeems(world);
  world.provider.hooks.beforeToken = async ({ grantType }) => {
    if (grantType !== 'refresh_token') return undefined;
    delete world.provider.hooks.beforeToken;
    program.process.kill('SIGSTOP');
    setTimeout(() => program.process.kill('SIGCONT'), 2_500);
    return undefined;
  };
  world.provider.revokeAccessTokens();
  t.equal((await callEcho(`${program.proxyUrl}/frozen`)).response.status, 200);
  t.strictSame(redeems, [200], 'sent once');
  await program.end('SIGKILL');

  const again = await runProgram(config);
  t.equal((await callEcho(`${again.proxyUrl}/again`)).response.status, 200, 'what it got was durable');
  world.provider.revokeAccessTokens();
  t.equal((await callEcho(`${again.proxyUrl}/renewed`)).response.status, 200);
  t.strictSame(redeems, [200, 200], 'and is what is redeemed next');
  t.equal(await again.end(), 0);
  await world.close();
});
