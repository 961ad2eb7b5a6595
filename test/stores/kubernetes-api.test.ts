// What the API server may answer, and what the store makes of it: tried again within bounds where time may help, a
// conflict where another version is there, an error with its code where neither does.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { openServiceAccount } from '../../src/stores/kubernetes-account.ts';
import { createKubernetesApi, type KubernetesApi, type Resource } from '../../src/stores/kubernetes-api.ts';
import { createAuthority } from '../providers/_certificate.ts';
import { type ApiServer, type Fault, here, startApiServer } from './_api-server.ts';
import { createHurriedClock, type HurriedClock } from './_hurried-clock.ts';

const secrets: Resource = { path: '/api/v1/namespaces/default/secrets', kind: 'Secret', apiVersion: 'v1' };
const patienceMs = 8_000;

interface Setting {
  readonly server: ApiServer;
  readonly clock: HurriedClock;
  readonly api: KubernetesApi;
}

/** @param random 1: the longest pause that jitter allows */
async function start(t: Test, random = 1): Promise<Setting> {
  const server = await startApiServer(t);
  const clock = createHurriedClock();
  const api = createKubernetesApi({
    url: `https://127.0.0.1:${server.port}`,
    account: openServiceAccount(server.account, clock),
    clock,
    random: () => random,
    patienceMs,
  });
  t.teardown(() => api.close());
  server.objects.set('secrets/a', { metadata: { name: 'a', resourceVersion: '7' } });
  return { server, clock, api };
}

/** These, one a call, then what the server would answer. */
function first(server: ApiServer, ...faults: (Fault | undefined)[]): void {
  server.fault = () => faults.shift();
}
const always = (status: number) => (): Fault => ({ status });

t.test('what a status means, for each call', async (t) => {
  const known = { metadata: { name: 'a', resourceVersion: '7' } };
  const fresh = { metadata: { name: 'b' } };
  const use: Readonly<Record<'get' | 'update' | 'create', (api: KubernetesApi) => Promise<unknown>>> = {
    get: (api) => api.read(secrets, 'a'),
    update: (api) => api.write(secrets, known),
    create: (api) => api.write(secrets, fresh),
  };
  const table: readonly (readonly [keyof typeof use, number, string, number])[] = [
    ['get', 404, 'nothing', 1],
    ['update', 404, 'nothing', 1],
    ['update', 409, 'nothing', 1],
    ['create', 409, 'nothing', 1],
    ['create', 404, 'store_forbidden', 1],
    ['get', 400, 'store_unavailable', 1],
    ['get', 307, 'store_unavailable', 1],
    ['get', 410, 'store_unavailable', 1],
    ['update', 400, 'store_write_failed', 1],
    ['update', 413, 'store_write_failed', 1],
    ['update', 422, 'store_write_failed', 1],
    ['create', 422, 'store_write_failed', 1],
    ['get', 403, 'store_forbidden', 1],
    ['update', 403, 'store_forbidden', 1],
    ['create', 403, 'store_forbidden', 1],
    ['get', 401, 'store_unavailable', 2],
    ['update', 401, 'store_unavailable', 2],
  ];
  for (const [verb, status, outcome, calls] of table) {
    const { server, api, clock } = await start(t);
    server.fault = always(status);
    const using = use[verb](api);
    const name = `${verb} ${status}`;
    if (outcome === 'nothing') t.equal(await using, undefined, name);
    else
      await t.rejects(
        using,
        { code: outcome, details: { status, reason: `${verb} Secret ${verb === 'create' ? 'b' : 'a'}` } },
        name,
      );
    t.equal(server.asked.length, calls, `${name}: calls`);
    t.strictSame(clock.pauses, [], `${name}: no pause`);
  }
});

t.test('429 and 5xx are tried again, with pauses that double, as long as patience goes', async (t) => {
  for (const status of [429, 500, 502, 503, 504]) {
    const { server, api, clock } = await start(t);
    first(server, { status }, { status }, { status });
    t.match(await api.read(secrets, 'a'), { metadata: { name: 'a' } }, String(status));
    t.strictSame(clock.pauses, [100, 200, 400]);

    server.fault = always(status);
    clock.pauses.length = 0;
    const beganMs = clock.monotonicMs();
    await t.rejects(api.read(secrets, 'a'), {
      code: 'store_unavailable',
      details: { status, reason: 'get Secret a' },
    });
    t.strictSame(clock.pauses, [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000]);
    t.ok(clock.monotonicMs() - beganMs <= patienceMs, 'no pause goes beyond it');
  }
});

t.test('pauses are spread: the shortest is half of the longest', async (t) => {
  const { server, api, clock } = await start(t, 0);
  first(server, { status: 503 }, { status: 503 });
  await api.read(secrets, 'a');
  t.strictSame(clock.pauses, [50, 100]);
});

t.test('Retry-After is waited for; one that is longer than patience ends the call at once', async (t) => {
  const { server, api, clock } = await start(t);
  first(server, { status: 429, headers: { 'retry-after': '3' } }, { status: 503, headers: { 'retry-after': 'soon' } });
  t.ok(await api.read(secrets, 'a'));
  t.strictSame(clock.pauses, [3_000, 200]);
  server.asked.length = 0;
  server.fault = () => ({ status: 429, headers: { 'retry-after': '9' } });
  await t.rejects(api.read(secrets, 'a'), { code: 'store_unavailable', details: { status: 429 } });
  t.equal(server.asked.length, 1);
});

t.test('a connection that breaks before, within or after the answer is a call that is made again', async (t) => {
  const { server, api } = await start(t);
  first(server, 'lost', 'cut');
  t.match(await api.read(secrets, 'a'), { metadata: { name: 'a' } });
  t.equal(server.asked.length, 3);
});

t.test('an answer that is no object, or larger than any, is `store_unavailable`', async (t) => {
  const { server, api } = await start(t);
  const wide = (size: number): string =>
    JSON.stringify({ metadata: { name: 'a', resourceVersion: '8' }, data: { x: 'x'.repeat(size) } });
  for (const body of ['', 'null', '[]', '{"metadata":{}}', '{"metadata":{"resourceVersion":7}}', wide(5e6)]) {
    server.fault = () => ({ status: 200, body });
    await t.rejects(
      api.read(secrets, 'a'),
      { code: 'store_unavailable', details: { reason: 'get Secret a: the answer is no object' } },
      body.slice(0, 40),
    );
  }
  server.fault = () => ({ status: 200, body: wide(3e6) });
  t.match(await api.read(secrets, 'a'), { metadata: { resourceVersion: '8' } }, 'more than the server keeps of any');
});

t.test('a token that is refused is read again, once a call', async (t) => {
  const { server, api } = await start(t);
  await api.read(secrets, 'a');
  writeFileSync(join(server.account, 'token'), 'second\n');
  first(server, { status: 401 });
  t.ok(await api.read(secrets, 'a'));
  t.strictSame(
    server.asked.map(({ token }) => token),
    ['Bearer first', 'Bearer first', 'Bearer second'],
  );
});

t.test('a token that rotates on disk is taken within a minute, without being refused first', async (t) => {
  const { server, api, clock } = await start(t);
  await api.read(secrets, 'a');
  writeFileSync(join(server.account, 'token'), 'second');
  clock.pass(59_000);
  await api.read(secrets, 'a');
  clock.pass(1_000);
  await api.read(secrets, 'a');
  t.strictSame(
    server.asked.map(({ token }) => token),
    ['Bearer first', 'Bearer first', 'Bearer second'],
  );
});

t.test('an account that cannot be read is `store_unavailable`, and heals when kubelet has mounted it', async (t) => {
  const { server, api } = await start(t);
  writeFileSync(join(server.account, 'token'), '');
  await t.rejects(api.read(secrets, 'a'), {
    code: 'store_unavailable',
    details: { path: join(server.account, 'token'), reason: 'the file of the service account is empty' },
  });
  t.equal(server.asked.length, 0);
  writeFileSync(join(server.account, 'token'), 'second');
  t.ok(await api.read(secrets, 'a'));
});

t.test('an authority that rotates on disk is the one that counts, for the next call', async (t) => {
  const { server, api } = await start(t);
  t.ok(await api.read(secrets, 'a'));
  const next = createAuthority('the next');
  server.show(next.issue(here));
  for (const session of server.sessions) session.destroy();
  await t.rejects(api.read(secrets, 'a'), { code: 'store_unavailable' }, 'the old one does not know it');
  writeFileSync(join(server.account, 'ca.crt'), next.cert);
  t.ok(await api.read(secrets, 'a'));
});

t.test('a server that comes back refuses what it has not read its roles for: 403 is then waited out', async (t) => {
  const { server, api, clock } = await start(t);
  t.ok(await api.read(secrets, 'a'));
  first(server, { status: 403 }, { status: 403 });
  t.ok(await api.read(secrets, 'a'), 'what it has allowed before');
  t.equal(server.asked.length, 4);

  server.fault = () => undefined;
  t.equal(await api.read(secrets, 'absent'), undefined);
  first(server, { status: 403 });
  t.equal(await api.read(secrets, 'absent'), undefined, 'who may be told that there is none is allowed');

  first(server, { status: 503 }, { status: 403 });
  t.ok(await api.write(secrets, { metadata: { name: 'b' } }), 'what follows a failure within the call');

  first(server, 'lost');
  await api.read(secrets, 'a');
  first(server, { status: 403 });
  t.ok(await api.write(secrets, { metadata: { name: 'c' } }), 'another call, shortly after an outage');

  server.fault = () => undefined;
  first(server, 'lost');
  await api.read(secrets, 'a');
  server.fault = always(403);
  await t.rejects(
    api.write(secrets, { metadata: { name: 'd' } }),
    { code: 'store_unavailable', details: { status: 403, reason: 'create Secret d' } },
    'which takes longer than a call may: not yet a refusal, so that whoever waits goes on',
  );

  clock.pass(30_000);
  server.asked.length = 0;
  server.fault = always(403);
  await t.rejects(api.write(secrets, { metadata: { name: 'd' } }), { code: 'store_forbidden' });
  t.equal(server.asked.length, 1, 'later on a refusal is one');
  await t.rejects(api.write(secrets, { metadata: { name: 'd' } }), { code: 'store_forbidden' });
  t.equal(server.asked.length, 2, 'and makes nothing allowed');
  await t.rejects(api.read(secrets, 'a'), { code: 'store_forbidden', details: { status: 403 } }, 'a right taken away');
});

t.test('401 from a server that comes back is waited out likewise', async (t) => {
  const { server, api } = await start(t);
  t.ok(await api.read(secrets, 'a'));
  first(server, { status: 401 }, { status: 401 }, { status: 401 });
  t.ok(await api.read(secrets, 'a'));
});

t.test('a connection that died without a word costs its call some seconds, and no failure', async (t) => {
  const server = await startApiServer(t);
  server.objects.set('secrets/a', { metadata: { name: 'a', resourceVersion: '7' } });
  const account = openServiceAccount(server.account, systemClock);
  const url = `https://127.0.0.1:${server.port}`;
  const api = createKubernetesApi({ url, account, clock: systemClock, random: Math.random, patienceMs });
  t.teardown(() => api.close());
  t.ok(await api.read(secrets, 'a'));
  const [dead] = server.sessions;
  server.fault = () => ([...server.sessions].at(-1) === dead ? 'silent' : undefined);
  t.ok(await api.read(secrets, 'a'), 'over another connection');
  t.equal(server.asked.length, 3);
});

t.test('a write says what it is, on the version that it was made for', async (t) => {
  const { server, api } = await start(t);
  await api.write(secrets, { metadata: { name: 'a', resourceVersion: '7' }, data: { x: 'eA==' } });
  await api.write(secrets, { metadata: { name: 'b' } }, { dryRun: true });
  t.match(server.asked, [
    {
      method: 'PUT',
      path: `${secrets.path}/a`,
      body: { apiVersion: 'v1', kind: 'Secret', metadata: { resourceVersion: '7' }, data: { x: 'eA==' } },
    },
    { method: 'POST', path: secrets.path },
  ]);
  t.strictSame(
    server.asked.map(({ query }) => query.toString()),
    ['fieldManager=sidebearer', 'fieldManager=sidebearer&dryRun=All'],
  );
  t.notOk(server.objects.has('secrets/b'), 'a dry run makes nothing');
  t.equal(await api.write(secrets, { metadata: { name: 'a', resourceVersion: '7' } }), undefined, 'an older version');
});

t.test('once closed it calls nobody, and a pause ends with it', async (t) => {
  const { server, api } = await start(t);
  await api.close();
  await t.rejects(api.read(secrets, 'a'), { code: 'store_unavailable' });
  t.equal(server.asked.length, 0);
  t.equal(server.sessions.size, 0);
});
