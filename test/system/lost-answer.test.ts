// The one thing that no client can close: the provider spent the refresh token, and its answer was lost. It is
// recognised, told by its own code, and the access token in hand serves to its end.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { createDemoUpstream } from '../../demo/upstream.ts';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { logIn } from './_login.ts';
import { eventually, runProgram } from './_process.ts';
import { callEcho, createWorld, metric } from './_world.ts';

t.test('an answer that is lost twice after the token was spent is refresh_outcome_unknown', async (t) => {
  const world = await createWorld({ tokenSeconds: 7 });
  // The provider takes the access token back with the family; this upstream does not ask it.
  const upstream = await createDemoUpstream({ introspect: async () => true });
  const credential = '    refresh: { timeout: 2s, attempts: 1, cooldown: 300ms }\n    breaker: { resetAfter: 300ms }';
  const config = world.config({ credential }).replace(world.upstream.url, upstream.url);
  const program = await runProgram(config);
  const calls: number[] = [];
  world.provider.hooks.afterToken = ({ grantType, status, number }) => {
    if (grantType !== 'refresh_token') return undefined;
    calls.push(status);
    return number <= 2 ? 'drop' : undefined;
  };
  const status = async (): Promise<CredentialStatus | undefined> => {
    const body = (await (await fetch(`${world.oauthUrl}/status.json`)).json()) as { credentials: CredentialStatus[] };
    return body.credentials[0];
  };
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  const token = (await callEcho(`${program.proxyUrl}/x`)).echo?.token;
  const expiresAtMs = (await status())?.expiresAtMs ?? 0;

  await eventually('the end of the grant', async () => ((await status())?.state === 'dead' ? true : undefined));
  t.strictSame(calls, [200, 400, 400], 'spent, tried once more at once, and once more after the pause');
  t.match(await status(), { usable: true, lastError: { code: 'refresh_outcome_unknown' } });
  t.match(await (await fetch(`${world.oauthUrl}/`)).text(), /refresh_outcome_unknown/, 'the page says so');
  t.ok(
    program.lines.some(({ level, code }) => level === 'error' && code === 'refresh_outcome_unknown'),
    'the log says so',
  );
  const unknown = 'sidebearer_refreshes_total{credential="demo",trigger="schedule",outcome="unknown"}';
  t.equal(await metric(program.telemetryUrl, unknown), 2);

  let served = 0;
  const refusal = await eventually('the end of the access token', async () => {
    const { response, echo } = await callEcho(`${program.proxyUrl}/x`);
    if (response.status !== 200) return response;
    t.equal(echo?.token, token, 'the token in hand');
    served += 1;
    await delay(20);
    return undefined;
  });
  t.ok(served > 0, `${served} requests`);
  t.ok(Date.now() > expiresAtMs - 1_000, 'it served to its end');
  t.equal(refusal.status, 503);
  t.equal(refusal.headers.get('sidebearer-error'), 'refresh_outcome_unknown');
  t.equal(refusal.headers.get('retry-after'), null, 'waiting does not help');
  t.equal(calls.length, 3, 'a dead grant is left alone');

  await program.end('SIGKILL');
  const again = await runProgram(config);
  t.equal((await callEcho(`${again.proxyUrl}/x`)).response.headers.get('sidebearer-error'), 'refresh_outcome_unknown');
  t.equal(calls.length, 3, 'after a restart as well');
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  t.equal((await callEcho(`${again.proxyUrl}/x`)).response.status, 200, 'a login cures it');
  t.equal(await again.end(), 0);
  await upstream.close();
  await world.close();
});
