// The grants that need no person: client credentials, a refresh token at hand, a token that something else writes.

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { demoClient, demoMachine } from '../../demo/provider.ts';
import { createDemoUpstream, shorten } from '../../demo/upstream.ts';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { eventually, runProgram } from './_process.ts';
import { refreshTokenOf } from './_refresh-token.ts';
import { callEcho, createWorld, type World } from './_world.ts';

const quick = 'refresh: { timeout: 2s, cooldown: 300ms }, breaker: { resetAfter: 300ms }, wait: { timeout: 5s }';

/** The world's configuration with another credential in the place of the one that logs in. */
function configOf(world: World, credential: string): string {
  return world
    .config()
    .replace(/^ {2}demo:\n(?: {4}.*\n)+/m, `  demo: ${credential}\n`)
    .replace(/oauth: "[^"]*"/, 'oauth: "127.0.0.1:0"');
}

async function statusOf(oauthUrl: string | undefined): Promise<CredentialStatus> {
  const { credentials } = (await (await fetch(`${oauthUrl}/status.json`)).json()) as {
    credentials: CredentialStatus[];
  };
  const [first] = credentials;
  if (first === undefined) throw new Error('no credential');
  return first;
}

t.test(
  'client_credentials: a token without any login, renewed ahead of time, after a 401 and after an outage',
  async (t) => {
    const world = await createWorld({ tokenSeconds: 4 });
    const { id, secret } = demoMachine;
    const program = await runProgram(
      configOf(
        world,
        `{ provider: oidc, issuer: "${world.provider.issuer}", clientId: ${id}, clientSecret: ${secret}, grant: client_credentials, ${quick} }`,
      ),
    );
    const obtained = (): number => world.provider.counts.tokenRequests['client_credentials'] ?? 0;
    await eventually('a token before any request', async () =>
      (await statusOf(program.oauthUrl)).usable ? true : undefined,
    );
    const answers = await Promise.all(Array.from({ length: 20 }, () => callEcho(`${program.proxyUrl}/x`)));
    const tokens = new Set(answers.map(({ echo, response }) => echo?.token ?? response.status));
    t.equal(tokens.size, 1);
    t.equal(obtained(), 1, 'one call for all');
    t.match(await statusOf(program.oauthUrl), { state: 'fresh', grant: 'client_credentials' });

    await eventually('a renewal by schedule', async () => {
      const { response, echo } = await callEcho(`${program.proxyUrl}/x`);
      t.equal(response.status, 200);
      tokens.add(echo?.token ?? '');
      return tokens.size === 2 ? true : undefined;
    });
    t.equal(world.upstream.counts.refused, 0);

    const before = obtained();
    world.provider.revokeAccessTokens();
    t.equal((await callEcho(`${program.proxyUrl}/revoked`)).response.status, 200);
    t.equal(obtained(), before + 1, 'one call after the 401');

    await world.provider.stop();
    const codes = new Set<string | null>();
    await eventually('its expiry', async () => {
      const { response } = await callEcho(`${program.proxyUrl}/down`);
      if (response.status === 200) return undefined;
      codes.add(response.headers.get('sidebearer-error'));
      t.ok(Number(response.headers.get('retry-after')) >= 1);
      return true;
    });
    t.strictSame([...codes], ['access_token_expired']);
    await world.provider.start();
    await eventually('recovery', async () =>
      (await callEcho(`${program.proxyUrl}/back`)).response.status === 200 ? true : undefined,
    );
    t.match(await (await fetch(`${program.oauthUrl}/oauth/start`)).text(), /Nothing to log in/);
    t.equal(await program.end(), 0);
    await world.close();
  },
);

t.test(
  'refresh_token: a seed is redeemed once, a restart goes on with what is stored, a new seed counts',
  async (t) => {
    const world = await createWorld({ tokenSeconds: 60 });
    const { issuer } = world.provider;
    const withSeed = (seed: string): string =>
      configOf(
        world,
        `{ provider: oidc, issuer: "${issuer}", clientId: ${demoClient.id}, grant: refresh_token, refreshToken: "${seed}", ${quick} }`,
      );
    const redeems = (): number => world.provider.counts.tokenRequests['refresh_token'] ?? 0;
    const statuses: number[] = [];
    world.provider.hooks.afterToken = ({ grantType, status }) => {
      if (grantType === 'refresh_token') statuses.push(status);
      return undefined;
    };

    const seed = await refreshTokenOf(world);
    const first = await runProgram(withSeed(seed));
    t.equal((await callEcho(`${first.proxyUrl}/first`)).response.status, 200);
    t.equal(redeems(), 1);
    await first.end('SIGKILL');

    const second = await runProgram(withSeed(seed));
    t.equal((await callEcho(`${second.proxyUrl}/second`)).response.status, 200);
    t.equal(redeems(), 1, 'a restart redeems nothing');
    world.provider.revokeAccessTokens();
    t.equal((await callEcho(`${second.proxyUrl}/revoked`)).response.status, 200);
    t.equal(redeems(), 2, 'what the provider gave is redeemed, not the seed');
    t.match(await statusOf(second.oauthUrl), { grant: 'refresh_token', state: 'fresh' });
    await second.end();

    const third = await runProgram(withSeed(await refreshTokenOf(world)));
    t.equal((await callEcho(`${third.proxyUrl}/third`)).response.status, 200);
    t.equal(redeems(), 3, 'a changed seed is a new one');
    t.strictSame(statuses, [200, 200, 200], 'no refresh token was used twice');

    world.provider.revokeGrants();
    const { response, text } = await callEcho(`${third.proxyUrl}/gone`);
    t.equal(response.status, 401, "the upstream's own answer: there is nothing better");
    await eventually('the end of the grant', async () =>
      (await statusOf(third.oauthUrl)).state === 'dead' ? true : undefined,
    );
    t.match((await statusOf(third.oauthUrl)).lastError, { code: 'grant_rejected', next: /refreshToken/ }, text);
    await third.end();
    await world.close();
  },
);

t.test("file: the token follows kubelet's swap of a symlink, and its absence has a code", async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const good = new Set<string>();
  const upstream = await createDemoUpstream({ introspect: async (token) => good.has(token) });
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  const path = join(folder, 'token');
  const current = join(folder, '..data');

  /** As kubelet does: a folder of its own, a symlink to it, moved over the one that is there. */
  const write = (version: number, token: string): void => {
    good.clear();
    good.add(token.trim());
    mkdirSync(join(folder, `..${version}`));
    writeFileSync(join(folder, `..${version}`, 'token'), token, { mode: 0o644 });
    symlinkSync(`..${version}`, `${current}_tmp`);
    renameSync(`${current}_tmp`, current);
    if (version > 1) rmSync(join(folder, `..${version - 1}`), { recursive: true });
  };

  const config = configOf(world, `{ provider: file, path: "${path}" }`).replace(world.upstream.url, upstream.url);
  const program = await runProgram(config);
  const missing = await callEcho(`${program.proxyUrl}/missing`);
  t.equal(missing.response.status, 503);
  t.equal(missing.response.headers.get('sidebearer-error'), 'token_file_unreadable');

  symlinkSync(join('..data', 'token'), path);
  write(1, 'first-token\n');
  const arrived = async (token: string): Promise<true> =>
    eventually(token, async () => {
      const { echo } = await callEcho(`${program.proxyUrl}/x`);
      return echo?.token === shorten(token) ? true : undefined;
    });
  t.ok(await arrived('first-token'));

  for (const [version, token] of [
    [2, 'second-token'],
    [3, 'third-token'],
  ] as const) {
    write(version, token);
    await eventually('the file to be read again', async () =>
      (await statusOf(program.oauthUrl)).generation === version ? true : undefined,
    );
    const { refused } = upstream.counts;
    t.ok(await arrived(token));
    t.equal(upstream.counts.refused, refused, 'it was not a 401 that told');
  }

  // Between a swap and its event a 401 comes first; then the file is read at once.
  write(4, 'fourth-token');
  t.equal((await callEcho(`${program.proxyUrl}/at-once`)).response.status, 200);
  t.equal(await program.end(), 0);
  await upstream.close();
  await world.close();
  rmSync(folder, { recursive: true });
});
