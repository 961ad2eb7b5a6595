// A logout by command in one program while another one, on the same folder, is in the middle of a redeem: in the end
// neither has a token, nothing is left to refresh, the audit log tells who it was, and a login begins anew.
import t from 'tap';
import { logIn } from './_login.ts';
import { eventually, runCommand, runProgram } from './_process.ts';
import { callEcho, createWorld } from './_world.ts';

const credential = '    refresh: { timeout: 5s, attempts: 1, jitter: 0% }\n    wait: { timeout: 5s }';

t.test('a logout in one program during the redeem of another', async (t) => {
  const world = await createWorld({ tokenSeconds: 3_600 });
  t.teardown(() => world.close());
  const config = world.config({ credential });
  const mine = await runProgram(config);
  const otherConfig = config.replace(/oauth: "[^"]*"/, 'oauth: "127.0.0.1:0"');
  const other = await runProgram(otherConfig);
  t.teardown(async () => {
    await Promise.all([mine.end('SIGKILL'), other.end('SIGKILL')]);
  });
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  for (const { proxyUrl } of [mine, other]) {
    await eventually('the login in both', async () =>
      (await callEcho(`${proxyUrl}/x`)).response.status === 200 ? true : undefined,
    );
  }

  let release: () => void = () => undefined;
  const redeeming = new Promise<void>((begun) => {
    world.provider.hooks.afterToken = async ({ grantType }) => {
      if (grantType !== 'refresh_token') return undefined;
      begun();
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return undefined;
    };
  });
  const refreshed = runCommand(['refresh', 'demo', '--url', other.oauthUrl ?? '']);
  await redeeming;
  const loggedOut = runCommand(['logout', 'demo', '--yes', '--url', mine.oauthUrl ?? '']);
  // The provider has rotated, its answer is under way: the logout waits for it.
  await new Promise((resolve) => setTimeout(resolve, 500));
  release();
  t.match(await refreshed, { exit: 0, output: /^demo: refreshed/ });
  t.match(await loggedOut, { exit: 0, output: 'demo: logged out: its tokens are revoked and deleted\n' });

  for (const { proxyUrl, oauthUrl } of [mine, other]) {
    await eventually('no token in either', async () => {
      const { response } = await callEcho(`${proxyUrl}/x`);
      return response.headers.get('sidebearer-error') === 'grant_absent' ? true : undefined;
    });
    const refusal = await runCommand(['refresh', 'demo', '--url', oauthUrl ?? '']);
    t.match(refusal, { exit: 1, output: /^sidebearer: grant_absent: / });
  }
  const audits = [...mine.lines, ...other.lines].filter(({ event }) => event === 'audit');
  t.match(
    audits.filter(({ action }) => action === 'logout'),
    [{ outcome: 'logged_out', credential: 'demo', visitor: '127.0.0.1', userAgent: 'sidebearer-cli' }],
  );
  world.provider.hooks.afterToken = () => undefined;
  t.equal((await logIn(world.oauthUrl, 'demo')).status, 200);
  for (const { proxyUrl } of [mine, other]) {
    await eventually('the next login in both', async () =>
      (await callEcho(`${proxyUrl}/x`)).response.status === 200 ? true : undefined,
    );
  }
  t.equal(await mine.end(), 0);
  t.equal(await other.end(), 0);
});
