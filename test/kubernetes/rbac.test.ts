// The rights that the chart grants, tried with a token of its account on a real API server: whatever the store does is
// allowed, whatever else may be asked there is 403. And what a Role that lacks one right looks like, until it has it.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { Agent, request } from 'undici';
import { systemClock } from '../../src/clock.ts';
import type { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createKubernetesStore } from '../../src/stores/kubernetes.ts';
import type { Store } from '../../src/stores/store.ts';
import { createRecord } from '../stores/_record.ts';
import { createFaultWorld, credential as grant, send } from '../system/_fault-world.ts';
import { eventually, runProgram } from '../system/_process.ts';
import { metric } from '../system/_world.ts';
import {
  admin,
  createAccount,
  createNamespace,
  createStoreObjects,
  mountAccount,
  podEnv,
  type Rule,
  skip,
  storeRules,
} from './_cluster.ts';
import { createKubernetesStorage } from './_storage.ts';

const chart = fileURLToPath(new URL('../../helm/sidebearer', import.meta.url));
/** What the chart names in `ci/gateway-values.yaml`. */
const credential = 'codex';
const secretPrefix = 'app-sidebearer-';
const seal = 'sidebearer-key';

t.setTimeout(300_000);

interface Place {
  readonly namespace: string;
  readonly account: string;
  readonly warnings: SidebearerError[];
  open(): Promise<Store>;
}

function createPlace(t: Test, namespace: string, account: string): Place {
  const warnings: SidebearerError[] = [];
  return {
    namespace,
    account,
    warnings,
    async open() {
      const store = await createKubernetesStore({
        credentials: () => [credential],
        namespace: '',
        secretPrefix,
        serviceAccount: account,
        env: podEnv,
        clock: systemClock,
        random: Math.random,
        onWarning: (warning) => void warnings.push(warning),
      });
      t.teardown(() => store.close());
      return store;
    },
  };
}

/** A release of the chart without pods, and its service account. */
async function installChart(t: Test): Promise<Place> {
  const namespace = await createNamespace(t);
  await admin('POST', `/api/v1/namespaces/${namespace}/secrets`, {
    metadata: { name: seal },
    stringData: { key: 'k' },
  });
  const values = ['-f', join(chart, 'ci/gateway-values.yaml'), '--set', 'replicaCount=0'];
  await promisify(execFile)('helm', ['install', 'app', chart, '-n', namespace, ...values]);
  const account = await mountAccount(t, namespace, 'app-sidebearer', storeRules(secretPrefix, [credential]));
  return createPlace(t, namespace, account);
}

/** Everything that a sidecar ever does with its store. */
async function useAll(store: Store): Promise<void> {
  await store.probe();
  const { version } = await store.read(credential);
  let changed: () => void = () => undefined;
  const told = new Promise<void>((resolve) => {
    changed = resolve;
  });
  const watch = store.watch?.(credential, changed);
  const first = await store.commit(credential, version, createRecord(credential));
  if (!first.committed) throw new Error('a conflict');
  await store.commit(credential, first.version, createRecord(credential, { generation: 2 }));
  await told;
  watch?.close();
  await store.list();
  const taken = await store.lease(credential, 'me', 30_000);
  if (taken.held) throw new Error('held by another');
  await taken.lease.renew();
  await taken.lease.release();
  const id = 'a'.repeat(64);
  await store.logins.put(id, { credential, sealed: 'x', expiresAtMs: Date.now() + 60_000 });
  await store.logins.find(id);
  await store.logins.take(id);
}

const agent = new Agent({ connect: { rejectUnauthorized: false } });
t.teardown(() => agent.close());

/** The status of one call as this account. */
async function statusOf(account: string, call: string, body?: object): Promise<number> {
  const [method = '', path = ''] = call.split(' ');
  const answer = await request(`https://127.0.0.1:443${path}`, {
    dispatcher: agent,
    method: method as 'GET',
    headers: {
      authorization: `Bearer ${readFileSync(join(account, 'token'), 'utf8')}`,
      'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  // A watch that were allowed would not end.
  if (answer.statusCode === 200) answer.body.destroy();
  else await answer.body.dump();
  return answer.statusCode;
}

t.test('with the chart’s Role all that the store does is allowed', { skip }, async (t) => {
  const place = await installChart(t);
  await useAll(await place.open());
  t.strictSame(place.warnings, []);
});

t.test('with the chart’s Role everything else is 403', { skip }, async (t) => {
  const { namespace, account } = await installChart(t);
  const elsewhere = await createNamespace(t);
  await createStoreObjects(elsewhere, secretPrefix, [credential]);
  const name = secretPrefix + credential;
  const core = `/api/v1/namespaces/${namespace}`;
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  const roles = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const metadata = { name: 'new' };
  const calls: readonly (readonly [string, object?])[] = [
    // Its own objects, otherwise than by get, watch and update.
    [`GET ${core}/secrets`],
    [`GET ${core}/secrets?fieldSelector=metadata.name=${name}`],
    [`GET ${core}/secrets?watch=true`],
    [`GET ${core}/secrets?watch=true&fieldSelector=metadata.name=${seal}`],
    [`POST ${core}/secrets`, { metadata }],
    [`PATCH ${core}/secrets/${name}`, { metadata: { labels: { a: 'b' } } }],
    [`DELETE ${core}/secrets/${name}`],
    [`DELETE ${core}/secrets`],
    [`GET ${leases}`],
    [`GET ${leases}?watch=true&fieldSelector=metadata.name=${name}`],
    [`POST ${leases}`, { metadata }],
    [`PATCH ${leases}/${name}`, { metadata: { labels: { a: 'b' } } }],
    [`DELETE ${leases}/${name}`],
    // Others of the namespace, the key that seals them first.
    [`GET ${core}/secrets/${seal}`],
    [`PUT ${core}/secrets/${seal}`, { metadata: { name: seal } }],
    [`GET ${leases}/${name}-logins`],
    [`GET ${core}/configmaps`],
    [`GET ${core}/configmaps/app-sidebearer`],
    [`GET ${core}/pods`],
    [`POST ${core}/pods`, { metadata, spec: { containers: [{ name: 'new', image: 'new' }] } }],
    [`GET ${core}/serviceaccounts/app-sidebearer`],
    [`POST ${core}/serviceaccounts/app-sidebearer/token`, {}],
    [`POST ${core}/events`, { metadata }],
    // Its own rights.
    [`GET ${roles}/roles/app-sidebearer`],
    [`PATCH ${roles}/roles/app-sidebearer`, { rules: [] }],
    [`POST ${roles}/rolebindings`, { metadata }],
    // The same names elsewhere, and the whole cluster.
    [`GET /api/v1/namespaces/${elsewhere}/secrets/${name}`],
    [`GET /apis/coordination.k8s.io/v1/namespaces/${elsewhere}/leases/${name}`],
    ['GET /api/v1/secrets'],
    ['GET /api/v1/namespaces'],
    ['GET /api/v1/nodes'],
    ['GET /metrics'],
  ];
  for (const [call, body] of calls) t.equal(await statusOf(account, call, body), 403, call);
  t.equal(await statusOf(account, `GET ${core}/secrets/${name}`), 200, 'though it is the account’s token');
});

t.test('the API server lists exactly these rights for the account', { skip }, async (t) => {
  const { namespace, account } = await installChart(t);
  const answer = await request('https://127.0.0.1:443/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', {
    dispatcher: agent,
    method: 'POST',
    headers: {
      authorization: `Bearer ${readFileSync(join(account, 'token'), 'utf8')}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ spec: { namespace } }),
  });
  const { status } = (await answer.body.json()) as { status: { resourceRules: Rule[]; incomplete: boolean } };
  t.equal(status.incomplete, false);
  // What every account has: questions about itself, and the authorities that the cluster trusts.
  const everybodys = /^(?:selfsubject\w+|clustertrustbundles)$/;
  const own = status.resourceRules.filter(({ resources }) => !resources.every((name) => everybodys.test(name)));
  t.same(own.sort(byGroup), storeRules(secretPrefix, [credential]).sort(byGroup));
});

const byGroup = (one: Rule, other: Rule): number => String(one.apiGroups).localeCompare(String(other.apiGroups));

t.test('each right that is missing is `store_forbidden`, with its name', { skip }, async (t) => {
  const namespace = await createNamespace(t);
  await createStoreObjects(namespace, secretPrefix, [credential]);
  const whole = storeRules(secretPrefix, [credential]);
  const name = secretPrefix + credential;
  const id = 'b'.repeat(64);
  const without = (resource: string, verb: string, object: string): Rule[] =>
    whole
      .flatMap((rule): Rule[] => {
        if (rule.resources[0] !== resource) return [rule];
        const others = rule.resourceNames?.filter((each) => each !== object) ?? [];
        const verbs = rule.verbs.filter((each) => each !== verb);
        return [
          { ...rule, resourceNames: others },
          { ...rule, resourceNames: [object], verbs },
        ];
      })
      // A rule without names would be one for all.
      .filter(({ resourceNames }) => resourceNames?.length !== 0);
  const rights: readonly (readonly [string, string, string, (store: Store) => Promise<unknown>])[] = [
    ['secrets', 'get', name, (store) => store.read(credential)],
    ['secrets', 'update', name, (store) => commitNext(store)],
    ['secrets', 'update', name, (store) => store.probe()],
    [
      'secrets',
      'update',
      `${name}-logins`,
      (store) => store.logins.put(id, { credential, sealed: 'x', expiresAtMs: Date.now() + 60_000 }),
    ],
    ['secrets', 'get', `${name}-logins`, (store) => store.logins.take(id)],
    ['leases', 'get', name, (store) => store.lease(credential, 'me', 30_000)],
    ['leases', 'update', name, (store) => store.lease(credential, 'me', 30_000)],
  ];
  for (const [resource, verb, object, use] of rights) {
    const account = await createAccount(t, namespace, without(resource, verb, object));
    const kind = resource === 'secrets' ? 'Secret' : 'Lease';
    const reason = `${verb} ${kind} ${object}`;
    await t.rejects(
      use(await createPlace(t, namespace, account).open()),
      { code: 'store_forbidden', details: { status: 403, reason } },
      reason,
    );
  }

  const place = createPlace(t, namespace, await createAccount(t, namespace, without('secrets', 'watch', name)));
  const store = await place.open();
  let told = 0;
  const watch = store.watch?.(credential, () => {
    told += 1;
  });
  await eventually('two looks', () => told >= 2 || undefined);
  watch?.close();
  t.match(place.warnings, [{ code: 'store_watch_failed', details: { status: 403, reason: `watch Secret ${name}` } }]);
});

async function commitNext(store: Store): Promise<unknown> {
  const { version } = await store.read(credential);
  return store.commit(credential, version, createRecord(credential));
}

t.test(
  'a right that is taken away is told in metrics and logs; given back, all heals by itself',
  { skip },
  async (t) => {
    const storage = await createKubernetesStorage(t);
    const settings = `    refresh: { timeout: 2s, attempts: 1, cooldown: 1s }
    breaker: { resetAfter: 1s }
    wait: { timeout: 2s }`;
    const world = await createFaultWorld({ storage, leaseMs: 3_000, settings });
    t.teardown(() => world.close());
    await world.logIn();
    const program = await runProgram(world.config('one'), podEnv);
    t.teardown(() => program.end('SIGKILL'));
    const token = await (await send(program))?.text();

    await storage.allow(
      storage.rules.map((rule) =>
        rule.resources[0] === 'leases' ? { ...rule, verbs: rule.verbs.filter((verb) => verb !== 'update') } : rule,
      ),
    );
    await eventually('the refusal', async () => {
      // What the upstream refuses is what the client gets; nothing is redeemed without the lease.
      const answer = await world.refresh(program);
      return answer?.status === 401 || undefined;
    });
    const forbidden = `sidebearer_credential_errors_total{credential="${grant}",code="store_forbidden"}`;
    await eventually('the metric', async () => ((await metric(program.telemetryUrl, forbidden)) ?? 0) > 0 || undefined);
    const line = program.lines.find(({ code }) => code === 'store_forbidden');
    t.match(JSON.stringify(line), `update Lease sidebearer-${grant}`);
    t.equal(await (await send(program))?.text(), token, 'the token in hand goes on');
    const redeemed = world.endpoint.redeems.length;

    await storage.allow(storage.rules);
    await eventually('a refresh', async () => {
      await world.refresh(program);
      return world.endpoint.redeems.length > redeemed || undefined;
    });
    await eventually('its token', async () => (await (await send(program))?.text()) !== token || undefined);
    t.ok(world.endpoint.redeems.every(({ outcome }) => outcome === 'rotated'));
    t.ok(await world.isStoredCurrent());
    t.equal(await program.end(), 0);
  },
);
