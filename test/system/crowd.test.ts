// A thousand requests meet an expired token, and a client leaves in the middle of the refresh that it caused: in both
// cases the provider is called once and what it gave is kept.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { Agent, request } from 'undici';
import { logIn } from './_login.ts';
import { eventually, runProgram } from './_process.ts';
import { callEcho, createWorld } from './_world.ts';

t.test('1,000 concurrent requests on an expired token: one call at the token endpoint', async (t) => {
  const world = await createWorld({ tokenSeconds: 2 });
  const config = world.config({ credential: '    refresh: { timeout: 2s }\n    wait: { timeout: 20s, queue: 1000 }' });
  const first = await runProgram(config);
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  await first.end('SIGKILL');
  await delay(2_100);

  // The next one outlives the test, however slow the machine is.
  world.provider.accessTokenSeconds = 120;
  const before = world.provider.counts.tokenRequests['refresh_token'] ?? 0;
  world.provider.hooks.beforeToken = async () => {
    await delay(1_000);
    return undefined;
  };
  const program = await runProgram(config);
  const agent = new Agent({ connections: 1_000, pipelining: 1 });
  const answers = await Promise.all(
    Array.from({ length: 1_000 }, async () => {
      const { statusCode, body } = await request(`${program.proxyUrl}/crowd`, { dispatcher: agent });
      const text = await body.text();
      return statusCode === 200 ? (JSON.parse(text) as { token: string }).token : `${statusCode} ${text}`;
    }),
  );
  t.equal(new Set(answers).size, 1, [...new Set(answers)].join('\n'));
  t.notMatch(answers[0], /^\d{3} /);
  t.equal((world.provider.counts.tokenRequests['refresh_token'] ?? 0) - before, 1);
  t.equal(world.upstream.counts.refused, 0);
  await agent.close();
  await program.end();
  await world.close();
});

t.test('the client that caused a redeem leaves at once: the redeem ends well and is stored', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const program = await runProgram(world.config({ credential: '    refresh: { timeout: 5s }' }));
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  const redeems = (): number => world.provider.counts.tokenRequests['refresh_token'] ?? 0;
  let answered = 0;
  world.provider.hooks.beforeToken = async () => {
    await delay(500);
    return undefined;
  };
  world.provider.hooks.afterToken = () => {
    answered += 1;
    return undefined;
  };
  world.provider.revokeAccessTokens();
  const leaving = new AbortController();
  const left = callEcho(`${program.proxyUrl}/leaving`, { signal: leaving.signal }).then(
    () => 'answered',
    () => 'left',
  );
  await eventually('the redeem to begin', () => (redeems() === 1 ? true : undefined));
  leaving.abort();
  t.equal(await left, 'left');
  await eventually('the redeem to end', () => (answered === 1 ? true : undefined));
  await eventually('the commit', () =>
    program.lines.some((line) => line.event === 'refresh_succeeded' || line.msg.includes('efreshed'))
      ? true
      : undefined,
  );
  const { response } = await callEcho(`${program.proxyUrl}/next`);
  t.equal(response.status, 200);
  t.equal(redeems(), 1, 'what was redeemed is used');

  await program.end('SIGKILL');
  const again = await runProgram(world.config());
  t.equal((await callEcho(`${again.proxyUrl}/stored`)).response.status, 200);
  t.equal(redeems(), 1, 'and it was stored');
  await again.end();
  await world.close();
});
