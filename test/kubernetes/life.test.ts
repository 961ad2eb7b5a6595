// Life in a pod, on a real node: Jobs that complete, rollouts and deletions under load without a failed request, a start
// without a credential, and exit code 0 of every end that kubelet or the application orders.
import t, { type Test } from 'tap';
import { admin, kubectl } from './_cluster.ts';
import { endpointsOf, startLoad } from './_load.ts';
import { startOutside } from './_outside.ts';
import {
  chart,
  createApplication,
  createRestricted,
  get,
  image,
  install,
  makeImage,
  readyPods,
  skip,
  values,
} from './_pods.ts';

t.setTimeout(600_000);

interface Ended {
  readonly name: string;
  readonly started?: boolean;
  readonly state: { readonly terminated?: { readonly exitCode: number }; readonly running?: object };
}

interface PodStatus {
  readonly metadata: { readonly name: string };
  readonly spec: object;
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly Ended[];
    readonly initContainerStatuses?: readonly Ended[];
  };
}

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly command?: readonly string[];
  readonly restartPolicy?: string;
}

interface PodSpec {
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
}

/** An application's answers: what the sidecar gave it. On SIGTERM it serves on for a while, as its own endpoints do. */
const server = `
const server = require('node:http').createServer(async (asked, answer) => {
  asked.resume();
  try {
    const given = await fetch('http://127.0.0.1:8080/');
    answer.writeHead(given.status).end(await given.text());
  } catch (error) {
    answer.writeHead(500).end(String(error.cause ?? error));
  }
}).listen(3000);
process.on('SIGTERM', () => {
  server.on('request', (_, answer) => answer.setHeader('connection', 'close'));
  setTimeout(() => server.close(() => process.exit(0)), 4000);
});
`;

/** A Job's work: it ends with 0 only where every request was served. */
const work = `
for (let turn = 0; turn < 20; turn += 1) {
  const answer = await fetch('http://127.0.0.1:8080/');
  const text = await answer.text();
  if (answer.status !== 200 || text !== 'Bearer access-1') throw new Error(answer.status + ' ' + text);
}
`;
/** Ordinary containers start in no order. */
const whenReady = `
for (;;) {
  const answer = await fetch('http://127.0.0.1:9464/readyz').catch(() => undefined);
  if (answer?.status === 200) break;
  await new Promise((resolve) => setTimeout(resolve, 100));
}
`;

/** The pod of the application's chart, with nothing running yet. */
async function installApplication(t: Test, config: object = {}) {
  await makeImage();
  const outside = await startOutside(t);
  const namespace = await createRestricted(t);
  const given = values(outside);
  await install(t, namespace, createApplication(), {
    image,
    script: server,
    replicas: 0,
    sidebearer: { ...given, config: { ...given.config, ...config }, mode: 'sidecar' },
  });
  const deployment = (await admin('GET', `/apis/apps/v1/namespaces/${namespace}/deployments/app`)) as {
    spec: { template: { spec: PodSpec } };
  };
  return { outside, namespace, pod: deployment.spec.template.spec };
}

/** Runs it to its end. */
async function runJob(namespace: string, spec: object): Promise<{ conditions: readonly string[]; pod: PodStatus }> {
  const jobs = `/apis/batch/v1/namespaces/${namespace}/jobs`;
  await admin('POST', jobs, {
    metadata: { name: 'job' },
    spec: { backoffLimit: 0, template: { spec: { ...spec, restartPolicy: 'Never' } } },
  });
  for (let round = 0; round < 300; round += 1) {
    const { status } = (await admin('GET', `${jobs}/job`)) as {
      status: { conditions?: readonly { type: string; status: string }[] };
    };
    const conditions = (status.conditions ?? []).filter((each) => each.status === 'True').map(({ type }) => type);
    if (conditions.includes('Complete') || conditions.includes('Failed')) {
      return { conditions, pod: await podOf(namespace, 'batch.kubernetes.io/job-name=job') };
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`the Job does not end: ${await kubectl('describe', 'pods', '-n', namespace)}`);
}

async function podOf(namespace: string, selector: string): Promise<PodStatus> {
  const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  const { items } = (await admin('GET', path)) as { items: readonly PodStatus[] };
  const [pod] = items;
  if (pod === undefined) throw new Error(`no pod ${selector}`);
  return pod;
}

function exitCodes({ status }: PodStatus): Readonly<Record<string, number | undefined>> {
  const all = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  return Object.fromEntries(all.map(({ name, state }) => [name, state.terminated?.exitCode]));
}

function script(container: Container, text: string): Container {
  return { ...container, command: ['/nodejs/bin/node', '--input-type=module', '-e', text] };
}

t.test('a Job with a native sidecar completes: it needs to do nothing', { skip }, async (t) => {
  const { namespace, pod } = await installApplication(t);
  const containers = pod.containers.map((each) => script(each, work));
  const done = await runJob(namespace, { ...pod, containers });
  t.ok(done.conditions.includes('Complete'), await kubectl('logs', '-n', namespace, done.pod.metadata.name));
  t.same(exitCodes(done.pod), { sidebearer: 0, application: 0 });
});

const endings: Readonly<Record<string, string>> = {
  'POST /quitquitquit from its container':
    "const quit = await fetch('http://127.0.0.1:9464/quitquitquit', { method: 'POST' });\nif (quit.status !== 200) throw new Error(await quit.text());",
  '`sidebearer shutdown` in an image that has it':
    "const { status } = (await import('node:child_process')).spawnSync(process.execPath, ['/app/sidebearer.js', 'shutdown'], { stdio: 'inherit' });\nif (status !== 0) process.exit(status);",
};
for (const [name, ending] of Object.entries(endings)) {
  t.test(`a Job whose sidecar is an ordinary container completes by ${name}`, { skip }, async (t) => {
    const { namespace, pod } = await installApplication(t);
    const [sidecar] = pod.initContainers;
    const { restartPolicy: _, args = [], ...ordinary } = sidecar ?? { name: '' };
    const containers = [
      { ...ordinary, args: [...args, '--quit'] },
      ...pod.containers.map((each) => script(each, `${whenReady}${work}${ending}`)),
    ];
    const done = await runJob(namespace, { ...pod, initContainers: [], containers });
    t.ok(
      done.conditions.includes('Complete'),
      await kubectl('logs', '-n', namespace, done.pod.metadata.name, '--all-containers'),
    );
    t.same(exitCodes(done.pod), { sidebearer: 0, application: 0 });
  });
}

t.test('the pod starts without a credential, so that somebody can log in', { skip }, async (t) => {
  const { namespace } = await installApplication(t, {
    credentials: {
      api: { provider: 'oidc', issuer: 'https://idp.invalid', clientId: 'app' },
    },
    readiness: { require: 'none' },
  });
  await kubectl('scale', '-n', namespace, 'deployment/app', '--replicas=1');
  const [pod] = await readyPods(namespace, 'app');
  const { status } = await podOf(namespace, 'app=app');
  t.match(status, { phase: 'Running', initContainerStatuses: [{ started: true, state: { running: {} } }] });
  t.match(
    await get(`http://${pod?.status.podIP}:3000/`),
    '"grant_absent"',
    'and the application is told what is missing',
  );
  t.equal(await get(`http://${pod?.status.podIP}:9464/startupz`), '{"status":"ok","reasons":[]}\n');
});

/** Stays to be looked at when it has ended. */
async function keep(namespace: string, pod: string, finalizers: readonly string[] | null): Promise<void> {
  await admin('PATCH', `/api/v1/namespaces/${namespace}/pods/${pod}`, { metadata: { finalizers } });
}

async function untilEnded(namespace: string, pod: string): Promise<PodStatus> {
  for (let round = 0; round < 300; round += 1) {
    const now = (await admin('GET', `/api/v1/namespaces/${namespace}/pods/${pod}`)) as PodStatus;
    if (Object.values(exitCodes(now)).every((code) => code !== undefined)) return now;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${pod} does not end`);
}

/** Deletes one pod of those, and rolls all of them out anew, under load. */
async function disturb(t: Test, namespace: string, deployment: string, service: string, port: number): Promise<void> {
  const before = await readyPods(namespace, deployment);
  const load = await startLoad(namespace, service, port, /^Bearer access-1$/);
  await load.more(100);
  const victim = before[0]?.metadata.name ?? '';
  await keep(namespace, victim, ['sidebearer.dev/kept']);
  await kubectl('delete', 'pod', '-n', namespace, victim, '--wait=false');
  const ended = await untilEnded(namespace, victim);
  t.ok(
    Object.values(exitCodes(ended)).every((code) => code === 0),
    JSON.stringify(exitCodes(ended)),
  );
  await keep(namespace, victim, null);
  await kubectl('rollout', 'status', '-n', namespace, `deployment/${deployment}`, '--timeout=120s');
  await load.more(100);
  t.same(load.failures, [], `deleted: ${load.served} requests`);

  await kubectl('rollout', 'restart', '-n', namespace, `deployment/${deployment}`);
  await kubectl('rollout', 'status', '-n', namespace, `deployment/${deployment}`, '--timeout=120s');
  await load.more(100);
  // The old ones end a while after the rollout is told to be over.
  const old = new Set(before.map(({ status }) => status.podIP));
  for (let round = 0; round < 300; round += 1) {
    const { items } = JSON.parse(await kubectl('get', 'pods', '-n', namespace, '-o', 'json')) as { items: PodStatus[] };
    if (!items.some(({ status }) => old.has(status.podIP ?? ''))) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await load.more(100);
  await load.stop();
  t.same(load.failures, [], `rolled out: ${load.served} requests`);
  t.comment(`${load.served} requests, ${load.failures.length} failed`);
}

t.test('a gateway’s pods are deleted and rolled out under load without a failed request', { skip }, async (t) => {
  await makeImage();
  const outside = await startOutside(t);
  const namespace = await createRestricted(t);
  await install(t, namespace, chart, values(outside));
  await disturb(t, namespace, 'app-sidebearer', 'app-sidebearer', 8080);
  t.same(outside.redeemed, ['first']);
});

t.test('an application’s pods are, too: their sidecars end after them', { skip }, async (t) => {
  const { namespace, outside } = await installApplication(t);
  await admin('POST', `/api/v1/namespaces/${namespace}/services`, {
    metadata: { name: 'app' },
    spec: { selector: { app: 'app' }, ports: [{ port: 3000 }] },
  });
  await kubectl('scale', '-n', namespace, 'deployment/app', '--replicas=2');
  await readyPods(namespace, 'app');
  while ((await endpointsOf(namespace, 'app')).length < 2) await new Promise((resolve) => setTimeout(resolve, 100));
  await disturb(t, namespace, 'app', 'app', 3000);
  t.same(outside.redeemed, ['first']);
});
