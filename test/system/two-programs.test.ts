// Two programs on one folder, with one login between them: each rotation is redeemed by one of them, and the provider,
// which revokes everything when a refresh token comes twice, never has to.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { logIn } from './_login.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import { callEcho, createWorld, metric } from './_world.ts';

const RUN_MS = 11_000;
/** Renewed at half of its life, by both at the same moment. */
const TOKEN_SECONDS = 5;

t.test('two programs share one login through several rotations without one failed request', async (t) => {
  const world = await createWorld({ tokenSeconds: TOKEN_SECONDS });
  const credential =
    '    refresh: { timeout: 1s, attempts: 2, cooldown: 500ms, jitter: 0% }\n    wait: { timeout: 3s }';
  const config = world.config({ credential });
  const programs: readonly RunningProgram[] = [
    await runProgram(config),
    await runProgram(config.replace(/oauth: "[^"]*"/, 'oauth: off')),
  ];
  const redeems: number[] = [];
  world.provider.hooks.afterToken = ({ grantType, status }) => {
    if (grantType === 'refresh_token') redeems.push(status);
    return undefined;
  };
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  for (const { proxyUrl } of programs) {
    await eventually('the login in both', async () =>
      (await callEcho(`${proxyUrl}/x`)).response.status === 200 ? true : undefined,
    );
  }
  t.equal(redeems.length, 0);

  let isOver = false;
  const failures: string[] = [];
  const tokens = programs.map(() => new Set<string>());
  const work = async (index: number): Promise<void> => {
    while (!isOver) {
      const { response, echo, text } = await callEcho(`${programs[index]?.proxyUrl}/load`);
      if (echo === undefined) failures.push(`program ${index}: ${response.status} ${text}`);
      else tokens[index]?.add(echo.token);
      await delay(25);
    }
  };
  const working = [0, 0, 1, 1].map(work);
  await delay(RUN_MS);
  isOver = true;
  await Promise.all(working);

  t.strictSame(failures, []);
  t.equal(world.upstream.counts.refused, 0, 'the upstream saw no token that was revoked or expired');
  t.strictSame(
    redeems.filter((status) => status !== 200),
    [],
    'no refresh token came twice',
  );
  const most = Math.ceil((RUN_MS / 1_000 / TOKEN_SECONDS) * 2) + 2;
  t.ok(redeems.length >= 3 && redeems.length <= most, `${redeems.length} redeems`);
  const [mine, others] = tokens;
  const all = new Set([...(mine ?? []), ...(others ?? [])]);
  t.ok(all.size <= redeems.length + 1 && all.size >= redeems.length, 'each redeem is one token, used by somebody');
  t.ok((mine?.size ?? 0) >= redeems.length && (others?.size ?? 0) >= redeems.length, 'both used what either redeemed');

  // A 401 in both at once is one redeem as well.
  const before = redeems.length;
  const answers = programs.map(({ proxyUrl }) => callEcho(`${proxyUrl}/revoked`));
  world.provider.revokeAccessTokens();
  await Promise.all(answers);
  const again = await Promise.all(programs.map(({ proxyUrl }) => callEcho(`${proxyUrl}/revoked`)));
  for (const { response } of again) t.equal(response.status, 200);
  t.ok(redeems.length - before <= 2, `${redeems.length - before} redeems: the 401, and at most a scheduled one`);
  t.ok(redeems.every((status) => status === 200));

  await eventually('both metrics together to tell every redeem, once', async () => {
    let refreshed = 0;
    for (const { telemetryUrl } of programs) {
      for (const trigger of ['schedule', 'demand', 'startup']) {
        const labels = `credential="demo",trigger="${trigger}",outcome="refreshed"`;
        refreshed += (await metric(telemetryUrl, `sidebearer_refreshes_total{${labels}}`)) ?? 0;
      }
    }
    return refreshed === redeems.length ? true : undefined;
  });
  for (const program of programs) t.equal(await program.end(), 0);
  await world.close();
});
