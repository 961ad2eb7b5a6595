// The whole job of the built program on real parts: a login, tokens on every request, refreshes ahead of time and on
// demand, a provider that goes away, a process that is killed.
import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { logIn } from './_login.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import { callEcho, createWorld, metric } from './_world.ts';

const TOKEN_SECONDS = 10;
const world = await createWorld({ tokenSeconds: TOKEN_SECONDS });
const config = world.config({
  credential: `
    wait: { timeout: 5s }
    refresh: { timeout: 1s, attempts: 2, backoff: { initial: 50ms, max: 200ms }, cooldown: 5s }
    breaker: { resetAfter: 1s }`,
});
let program: RunningProgram = await runProgram(config);
t.teardown(async () => {
  await program.end('SIGKILL');
  await world.close();
});

const refreshes = (): number => world.provider.counts.tokenRequests['refresh_token'] ?? 0;
const status = async (): Promise<CredentialStatus> => {
  const { credentials } = (await (await fetch(`${world.oauthUrl}/status.json`)).json()) as {
    credentials: CredentialStatus[];
  };
  const [first] = credentials;
  if (first === undefined) throw new Error('no credential');
  return first;
};

t.test('startup and readiness are green without any credential; a request says grant_absent', async (t) => {
  for (const path of ['/livez', '/startupz', '/readyz']) {
    t.equal((await fetch(program.telemetryUrl + path)).status, 200, path);
  }
  const { response } = await callEcho(`${program.proxyUrl}/x`);
  t.equal(response.status, 503);
  t.equal(response.headers.get('sidebearer-error'), 'grant_absent');
  t.equal(response.headers.get('retry-after'), null);
  t.match(response.headers.get('content-type'), /^application\/problem\+json/);
  t.equal((await status()).state, 'absent');
  t.equal(world.upstream.counts.accepted + world.upstream.counts.refused, 0, 'nothing reached the upstream');
});

t.test('an admin logs in', async (t) => {
  const end = await logIn(world.oauthUrl, 'demo');
  t.equal(end.status, 200, end.html);
  t.match(end.html, /demo@example\.test/);
  t.match(await status(), { state: 'fresh', usable: true, account: { email: 'demo@example.test' } });
});

t.test("a request leaves with our token, whatever the client's own Authorization was", async (t) => {
  const { response, echo } = await callEcho(`${program.proxyUrl}/a/b?c=d`, {
    headers: { authorization: 'Bearer stolen', 'x-mine': 'kept' },
  });
  t.equal(response.status, 200);
  t.equal(echo?.path, '/a/b?c=d');
  const names = echo?.headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()) ?? [];
  t.equal(names.filter((name) => name === 'authorization').length, 1);
  t.ok(names.includes('x-mine'));
  t.notMatch(JSON.stringify(echo), /stolen/);
});

t.test('two scheduled refreshes pass under constant load without one failed request', async (t) => {
  const before = refreshes();
  let isOver = false;
  const tokens = new Set<string>();
  let served = 0;
  const failures: string[] = [];
  const worker = async (): Promise<void> => {
    while (!isOver) {
      const { response, echo, text } = await callEcho(`${program.proxyUrl}/load`);
      if (echo === undefined) failures.push(`${response.status} ${text}`);
      else tokens.add(echo.token);
      served += 1;
    }
  };
  const workers = Array.from({ length: 8 }, worker);
  await eventually('two more refreshes', () => (refreshes() >= before + 2 ? true : undefined), TOKEN_SECONDS * 4_000);
  await eventually('the third token in use', () => (tokens.size >= 3 ? true : undefined));
  isOver = true;
  await Promise.all(workers);
  t.strictSame(failures, []);
  t.ok(served > 100, `${served} requests`);
  const series = 'sidebearer_refreshes_total{credential="demo",trigger="schedule",outcome="refreshed"}';
  // Counted when the refresh has ended, which is after its token came into use.
  await eventually('the count', async () =>
    ((await metric(program.telemetryUrl, series)) ?? 0) >= 2 ? true : undefined,
  );
  t.equal(world.upstream.counts.refused, 0);
  const calls = (grant: string) => `sidebearer_token_requests_total{credential="demo",grant="${grant}",result="2xx"}`;
  t.equal(await metric(program.telemetryUrl, calls('authorization_code')), 1);
  t.ok(((await metric(program.telemetryUrl, calls('refresh_token'))) ?? 0) >= 2);
});

t.test('a revoked token: 401, one refresh, one replay, for GET and for a POST of 100 KiB', async (t) => {
  const body = randomBytes(100 * 1024);
  const sha256 = createHash('sha256').update(body).digest('hex');
  for (const init of [{}, { method: 'POST', body }]) {
    world.provider.revokeAccessTokens();
    const before = refreshes();
    const accepted = world.upstream.counts.accepted;
    const { response, echo } = await callEcho(`${program.proxyUrl}/revoked`, init);
    t.equal(response.status, 200);
    if ('body' in init) t.strictSame(echo?.body, { bytes: body.length, sha256 });
    t.equal(refreshes(), before + 1, 'one refresh');
    t.equal(world.upstream.counts.accepted, accepted + 1);
  }
  t.equal(await metric(program.telemetryUrl, 'sidebearer_replays_total{route="echo",outcome="accepted"}'), 2);
});

t.test(
  'the provider is down: the valid token serves, then 503 with code and Retry-After, then recovery by itself',
  async (t) => {
    await eventually('a fresh token', async () => ((await status()).state === 'fresh' ? true : undefined));
    await world.provider.stop();
    const codes = new Set<string>();
    let hadServed = 0;
    await eventually('the token to expire', async () => {
      const { response } = await callEcho(`${program.proxyUrl}/down`);
      if (response.status === 200) {
        hadServed += 1;
        return undefined;
      }
      t.equal(response.status, 503);
      codes.add(response.headers.get('sidebearer-error') ?? '');
      t.ok(Number(response.headers.get('retry-after')) >= 1, 'Retry-After');
      return true;
    });
    t.ok(hadServed > 0, 'the valid token was used');
    t.strictSame([...codes], ['access_token_expired']);
    t.equal(world.upstream.counts.refused, 2, 'no expired token was sent: only the two revoked ones were refused');
    const shown = await status();
    t.match(shown.lastError?.code, /^(token_endpoint_unreachable|breaker_open)$/);

    await world.provider.start();
    const startedAt = performance.now();
    await eventually('recovery', async () => {
      const { response } = await callEcho(`${program.proxyUrl}/back`);
      return response.status === 200 ? true : undefined;
    });
    t.comment(
      `recovered ${Math.round(performance.now() - startedAt)} ms after the provider came back (resetAfter: 1 s)`,
    );
  },
);

t.test('killed by SIGKILL it is still logged in after a restart', async (t) => {
  await program.end('SIGKILL');
  const logins = world.provider.counts.tokenRequests['authorization_code'];
  program = await runProgram(config);
  const { response } = await callEcho(`${program.proxyUrl}/again`);
  t.equal(response.status, 200);
  t.equal(world.provider.counts.tokenRequests['authorization_code'], logins, 'no further login');
  t.match(await status(), { account: { email: 'demo@example.test' }, usable: true });
});

t.test('SIGTERM ends it with 0', async (t) => {
  t.equal(await program.end('SIGTERM'), 0);
});
