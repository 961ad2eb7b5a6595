// Two logins behind one route, on a real provider: one dies in the middle of the traffic, and no request notices.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { WebSocket } from 'ws';
import { demoClient } from '../../demo/provider.ts';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { eventually, runProgram } from './_process.ts';
import { refreshTokenOf } from './_refresh-token.ts';
import { callEcho, createWorld, metric } from './_world.ts';

t.test('a pool of two: one is revoked for reuse, the other takes over, and every answer is 200', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const { issuer } = world.provider;
  const seeds = [await refreshTokenOf(world), await refreshTokenOf(world)];
  const [one, two] = seeds.map(
    (seed) =>
      `{ provider: oidc, issuer: "${issuer}", clientId: ${demoClient.id}, grant: refresh_token, refreshToken: "${seed}", refresh: { timeout: 2s, attempts: 1 } }`,
  );
  const program = await runProgram(
    world
      .config()
      .replace(/^ {2}demo:\n(?: {4}.*\n)+/m, `  one: ${one}\n  two: ${two}\n`)
      .replace('credential: demo', 'credential: [one, two]')
      .replace(/oauth: "[^"]*"/, 'oauth: "127.0.0.1:0"'),
  );
  const status = async (): Promise<CredentialStatus[]> => {
    const body = (await (await fetch(`${program.oauthUrl}/status.json`)).json()) as { credentials: CredentialStatus[] };
    return body.credentials;
  };
  await eventually('both have a token', async () => (await status()).every(({ usable }) => usable));
  const before = (await callEcho(`${program.proxyUrl}/x`)).echo?.token;

  const tokens = new Set<string | number>();
  let isOver = false;
  const client = async (): Promise<void> => {
    while (!isOver) {
      const { response, echo } = await callEcho(`${program.proxyUrl}/x`, { method: 'POST', body: 'again' });
      tokens.add(echo?.token ?? response.status);
      await delay(5);
    }
  };
  const clients = Promise.all(Array.from({ length: 8 }, client));
  await eventually('traffic', () => tokens.size > 0);

  // Somebody else has the first refresh token, too: its second use takes the whole family back.
  const stolen = new URLSearchParams({
    grant_type: 'refresh_token',
    client_id: demoClient.id,
    refresh_token: seeds[0] ?? '',
  });
  t.equal((await fetch(`${issuer}/token`, { method: 'POST', body: stolen })).status, 400);
  await eventually('the end of the first', async () => (await status())[0]?.state === 'dead');
  await eventually('traffic with the second', () => tokens.size === 2);
  isOver = true;
  await clients;

  t.strictSame(
    [...tokens].filter((token) => typeof token === 'number'),
    [],
    'no answer but 200',
  );
  t.ok(tokens.has(before ?? ''), 'the first until then');
  t.match(await status(), [
    { name: 'one', state: 'dead', lastError: { code: 'grant_rejected' } },
    { name: 'two', state: 'fresh', usable: true },
  ]);
  t.equal(await metric(program.telemetryUrl, 'sidebearer_credential_state{credential="one",state="dead"}'), 1);
  const { refused } = world.upstream.counts;
  t.ok(refused <= 8, `${refused} requests met the revoked token: those that were under way`);
  for (let request = 0; request < 20; request += 1) await callEcho(`${program.proxyUrl}/x`);
  t.equal(world.upstream.counts.refused, refused, 'nobody is sent to the dead one any more');
  t.ok(
    program.lines.some(({ event, credential }) => event === 'token_refused' && credential === 'one'),
    'the log says why',
  );

  const webSocket = new WebSocket(`${program.proxyUrl.replace('http', 'ws')}/socket`);
  await new Promise((resolve, reject) => {
    webSocket.once('open', resolve);
    webSocket.once('error', reject);
  });
  webSocket.terminate();
  t.equal(await program.end(), 0);
  await world.close();
});
