// The built program on a token endpoint of the test's own: tokens for a service account's token, a client that proves
// itself by a key, the end of a grant as the provider tells it, and tokens that are none.
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jwtVerify } from 'jose';
import t, { type Test } from 'tap';
import { createDemoUpstream, type DemoUpstream, shorten } from '../../demo/upstream.ts';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import { createTokenService, type TokenService } from './_token-service.ts';
import { callEcho, metric } from './_world.ts';

interface Tested {
  readonly service: TokenService;
  readonly upstream: DemoUpstream;
  readonly folder: string;
  run(credential: string): Promise<RunningProgram>;
}

async function createTested(t: Test): Promise<Tested> {
  const service = await createTokenService();
  const upstream = await createDemoUpstream({ introspect: async (token) => service.knows(token) });
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(async () => {
    await Promise.all([service.close(), upstream.close()]);
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    service,
    upstream,
    folder,
    run: (credential) =>
      runProgram(`
listen: { proxy: "127.0.0.1:0", oauth: "127.0.0.1:0", telemetry: "127.0.0.1:0" }
routes: [{ name: echo, upstream: "${upstream.url}", credential: api }]
credentials:
  api: { provider: oauth2, tokenUrl: "${service.url}", clientId: me, ${credential} }
store: { kind: file, path: "${folder}/store", keys: ["${Buffer.alloc(32, 7).toString('base64')}"], lease: 500ms }
log: { level: trace }
`),
  };
}

async function statusOf({ oauthUrl }: RunningProgram): Promise<CredentialStatus> {
  const answer = await fetch(`${oauthUrl}/status.json`);
  const { credentials } = (await answer.json()) as { credentials: CredentialStatus[] };
  const [status] = credentials;
  if (status === undefined) throw new Error('no credential');
  return status;
}

/** As kubelet and careful programs do it: never half a file. */
function put(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

t.test('token_exchange: no file, a file, a token that is refused, the next one; no pause is waited for', async (t) => {
  const { service, folder, run } = await createTested(t);
  const path = join(folder, 'sa');
  service.answer = ({ form }) =>
    form['subject_token'] === 'sa-SECRET-old' ? { status: 400, body: { error: 'invalid_request' } } : {};
  const program = await run(
    `grant: token_exchange, subjectTokenFile: "${path}", tokenParams: { resource: "urn:api" }, refresh: { attempts: 1 }`,
  );
  const missing = await callEcho(`${program.proxyUrl}/x`);
  t.equal(missing.response.status, 503);
  t.equal(missing.response.headers.get('sidebearer-error'), 'subject_token_unreadable');
  t.ok(Number(missing.response.headers.get('retry-after')) >= 1);
  t.match(await statusOf(program), { state: 'cooling', grant: 'token_exchange', breaker: 'closed' });
  t.equal(service.requests.length, 0);

  put(path, 'sa-SECRET-old\n');
  await eventually('the refusal', async () =>
    (await statusOf(program)).lastError?.code === 'subject_token_rejected' ? true : undefined,
  );
  const refused = await callEcho(`${program.proxyUrl}/x`);
  t.equal(refused.response.headers.get('sidebearer-error'), 'subject_token_rejected');
  t.equal((await statusOf(program)).state, 'cooling', 'never dead');

  put(path, 'sa-SECRET-new');
  await eventually('a token', async () => ((await statusOf(program)).usable ? true : undefined));
  const { echo } = await callEcho(`${program.proxyUrl}/x`);
  t.equal(echo?.token, shorten(`access-${service.requests.length}`));
  t.strictSame(service.requests.at(-1)?.form, {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: 'sa-SECRET-new',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    resource: 'urn:api',
    client_id: 'me',
  });
  const series = 'sidebearer_token_requests_total{credential="api",grant="token_exchange",result="2xx"}';
  t.equal(await metric(program.telemetryUrl, series), 1);
  t.equal(await program.end(), 0);
  t.notMatch(program.output(), 'sa-SECRET');
});

t.test('private_key_jwt from a key file: each request has a proof of its own, and no key shows anywhere', async (t) => {
  const { service, folder, run } = await createTested(t);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  writeFileSync(join(folder, 'key.pem'), pem);
  service.answer = () => ({ expires_in: 2 });
  const program = await run(`grant: client_credentials, clientKey: "\${file:${folder}/key.pem}"`);
  await eventually('three tokens', async () => {
    t.equal((await callEcho(`${program.proxyUrl}/x`)).response.status, 200);
    return service.requests.length >= 3 ? true : undefined;
  });
  const ids = new Set<unknown>();
  for (const { form } of service.requests) {
    const { payload } = await jwtVerify(form['client_assertion'] ?? '', publicKey, {
      audience: service.url,
      subject: 'me',
    });
    ids.add(payload.jti);
  }
  t.equal(ids.size, service.requests.length);
  t.equal(await program.end(), 0);
  for (const line of [...pem.split('\n').slice(1, -2), 'PRIVATE', 'eyJ']) t.notOk(program.output().includes(line));
});

t.test('the end of the grant is stored, exported and shown, and moves or goes as the provider tells it', async (t) => {
  const { service, run } = await createTested(t);
  const day = 86_400;
  const seed = 'grant: refresh_token, refreshToken: rt-0, refresh: { attempts: 1 }';
  const ends: readonly (readonly [object, number | undefined])[] = [
    [{ refresh_token: 'rt-1', refresh_token_expires_in: 30 * day }, 30 * day],
    [{ refresh_token: 'rt-2', refresh_expires_in: String(20 * day) }, 20 * day],
    [{}, 20 * day],
    [{ refresh_token: 'rt-3' }, undefined],
  ];
  service.answer = ({ index }) => ({ expires_in: 3_600, ...ends[index]?.[0] });
  const series = 'sidebearer_grant_expiry_timestamp_seconds{credential="api"}';
  const check = async (program: RunningProgram, expected: number | undefined, title: string): Promise<void> => {
    const { grantExpiresAtMs, obtainedAtMs = 0 } = await statusOf(program);
    if (expected === undefined) {
      t.equal(grantExpiresAtMs, undefined, title);
      t.equal(await metric(program.telemetryUrl, series), undefined, `${title}: no series`);
      return;
    }
    const told = ((grantExpiresAtMs ?? 0) - obtainedAtMs) / 1_000;
    // Where an answer does not tell it, it is as it was: counted from an earlier one.
    t.ok(told > expected - 60 && told <= expected, `${title}: ${told} of ${expected}`);
    t.equal(await metric(program.telemetryUrl, series), (grantExpiresAtMs ?? 0) / 1_000, `${title}: in the metric`);
  };

  const first = await run(seed);
  await eventually('a token', async () => ((await statusOf(first)).usable ? true : undefined));
  await check(first, 30 * day, 'told');
  await first.end('SIGKILL');
  const second = await run(seed);
  t.equal(service.requests.length, 1, 'a restart asks nobody');
  await check(second, 30 * day, 'stored');
  for (const [index, [, expected]] of ends.entries()) {
    if (index === 0) continue;
    // A 401 to the current token: one refresh.
    const { generation } = await statusOf(second);
    service.knows = (token) => token === `access-${index + 1}`;
    await callEcho(`${second.proxyUrl}/x`);
    await eventually('the next token', async () =>
      (await statusOf(second)).generation > generation ? true : undefined,
    );
    await check(second, expected, `answer ${index}`);
  }
  t.equal(await second.end(), 0);
});

t.test(
  'a token that cannot stand in a header is access_token_malformed and reaches no upstream, whatever gave it',
  async (t) => {
    const { service, upstream, folder, run } = await createTested(t);
    service.answer = () => ({ access_token: 'two-SECRET words' });
    const path = join(folder, 'sa');
    put(path, 'sa');
    const seen: string[] = [];
    for (const credential of [
      'grant: client_credentials, clientSecret: s, refresh: { attempts: 1 }',
      `grant: jwt_bearer, subjectTokenFile: "${path}", refresh: { attempts: 1 }`,
      'grant: refresh_token, refreshToken: rt, refresh: { attempts: 1, backoff: { initial: 1ms, max: 1ms } }',
    ]) {
      const program = await run(credential);
      const { response, text } = await callEcho(`${program.proxyUrl}/x`);
      seen.push(`${response.status} ${response.headers.get('sidebearer-error')}`);
      t.notMatch(text, 'SECRET');
      t.equal((await statusOf(program)).lastError?.code, 'access_token_malformed');
      await program.end();
      t.notMatch(program.output(), 'SECRET');
    }
    t.strictSame(seen, Array(3).fill('503 access_token_malformed'));
    t.strictSame(upstream.counts, { accepted: 0, refused: 0 });
  },
);

t.test('an outage opens the breaker, for all to see; 4xx never do', async (t) => {
  const { service, run } = await createTested(t);
  const quick = 'refresh: { attempts: 1, cooldown: 50ms }, breaker: { failures: 3, resetAfter: 300ms }';
  let status = 403;
  service.answer = () => (status === 200 ? {} : { status });
  const program = await run(`grant: client_credentials, clientSecret: s, ${quick}`);
  const series = (state: string): string =>
    `sidebearer_breaker_state{endpoint="${service.url}",egress="direct",state="${state}"}`;
  const is = async (state: string): Promise<true | undefined> =>
    (await metric(program.telemetryUrl, series(state))) === 1 ? true : undefined;
  for (const refused of [403, 408, 429]) {
    status = refused;
    const { length } = service.requests;
    await eventually(`${refused}, ten times`, async () => {
      await callEcho(`${program.proxyUrl}/x`);
      return service.requests.length >= length + 10 ? true : undefined;
    });
    t.ok(await is('closed'), `${refused}`);
  }
  status = 503;
  await eventually('an open breaker', async () => {
    await callEcho(`${program.proxyUrl}/x`);
    return await is('open');
  });
  status = 200;
  await eventually('recovery', async () =>
    (await callEcho(`${program.proxyUrl}/x`)).response.status === 200 ? true : undefined,
  );
  t.ok(await is('closed'));
  const logged = program.lines.map(({ breaker }) => breaker).filter((state) => state !== undefined);
  t.ok(
    ['open', 'half_open', 'closed'].every((state) => logged.includes(state)),
    logged.join(' '),
  );
  t.equal(await program.end(), 0);
});
