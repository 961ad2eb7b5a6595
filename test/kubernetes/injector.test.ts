// Injection on a real node: the webhook of the image, installed by the chart under `restricted`, gives pods with one
// annotation their sidecar; their application sends the token without having seen it, and a Job with one completes.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { admin, kubectl } from './_cluster.ts';
import { NODE, type Outside, startOutside } from './_outside.ts';
import { chart, createRestricted, get, image, install, makeImage, reaches, readyPods, skip, values } from './_pods.ts';

const run = promisify(execFile);

interface Service {
  readonly port: number;
  /** Addresses of its pods. */
  readonly endpoints: string[];
}

/** In place of the Service: nothing routes to Services on this node, and the API server runs beside the cluster. */
async function startService(t: Test): Promise<Service> {
  const endpoints: string[] = [];
  let next = 0;
  const server = createServer((client) => {
    const upstream = connect({ host: endpoints[next % endpoints.length] ?? '', port: 9443 });
    next += 1;
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, NODE);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : 0, endpoints };
}

/** For the address that the API server calls. @returns the authority: the certificate is its own */
async function createCertificate(t: Test, namespace: string): Promise<string> {
  const folder = t.testdir();
  const [cert, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  const form = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert];
  await run('openssl', [
    'req',
    '-x509',
    ...form,
    '-days',
    '1',
    '-subj',
    '/CN=webhook',
    '-addext',
    `subjectAltName=IP:${NODE}`,
  ]);
  await kubectl('create', 'secret', 'tls', 'webhook', '-n', namespace, `--cert=${cert}`, `--key=${key}`);
  return readFileSync(cert, 'utf8');
}

/** The injector, for pods of one namespace whose credential is `api`. */
async function installInjector(t: Test, system: string, team: string): Promise<void> {
  const service = await startService(t);
  const caBundle = await createCertificate(t, system);
  await install(t, system, chart, {
    mode: 'injector',
    image: { registry: 'localhost', repository: 'sidebearer', tag: 'test', pullPolicy: 'Never' },
    injector: {
      tls: { existingSecret: 'webhook', caBundle },
      url: `https://${NODE}:${service.port}/mutate`,
      // A pod without its sidecar would be a failure of another kind.
      failurePolicy: 'Fail',
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': team } },
      keysSecret: 'sidebearer-key',
      namespaces: [{ name: team, credentials: ['api'] }],
    },
  });
  for (const { status } of await readyPods(system, 'app-sidebearer')) service.endpoints.push(status.podIP);
}

async function createConfiguration(outside: Outside, namespace: string): Promise<void> {
  const keys = ['${file:/var/run/secrets/sidebearer/key}'];
  const config = { ...values(outside).config, store: { kind: 'kubernetes', keys } };
  await admin('POST', `/api/v1/namespaces/${namespace}/configmaps`, {
    metadata: { name: 'proxy' },
    data: { 'config.yaml': stringify(config) },
  });
}

const annotations = { 'sidebearer.dev/inject': 'proxy', 'sidebearer.dev/env': 'API_BASE_URL=/v1' };

/** A pod's spec, whose one container runs a script in the image's Node. */
function podOf(script: string): object {
  return {
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'application',
        image,
        imagePullPolicy: 'Never',
        command: ['/nodejs/bin/node', '-e', script],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  };
}

/** Answers with what the sidecar gave it, and with what of the sidecar's it can see. */
const application = `
const { existsSync } = require('node:fs');
const seen = () => ['/var/run/secrets/kubernetes.io/serviceaccount', '/var/run/secrets/sidebearer', '/etc/sidebearer/config.yaml'].filter((path) => existsSync(path));
require('node:http').createServer(async (_, answer) => {
  const url = process.env.API_BASE_URL;
  const text = await fetch(url).then((given) => given.text(), (error) => String(error));
  answer.end(JSON.stringify({ url, text, seen: seen() }));
}).listen(3000);
process.on('SIGTERM', () => process.exit(0));
`;

interface InjectedPod {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: { readonly initContainers?: readonly { readonly name: string; readonly restartPolicy?: string }[] };
}

async function podsOf(namespace: string, app: string): Promise<InjectedPod[]> {
  const list = await admin('GET', `/api/v1/namespaces/${namespace}/pods?labelSelector=app%3D${app}`);
  return (list as { items: InjectedPod[] }).items;
}

async function createDeployment(namespace: string, app: string, pod: object, given: object): Promise<void> {
  await admin('POST', `/apis/apps/v1/namespaces/${namespace}/deployments`, {
    metadata: { name: app },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app } },
      template: { metadata: { labels: { app }, ...given }, spec: pod },
    },
  });
}

t.test('pods with the annotation get the sidecar, and a Job with one completes', { skip }, async (t) => {
  await makeImage();
  const outside = await startOutside(t);
  const [system, team] = [await createRestricted(t), await createRestricted(t)];
  await installInjector(t, system, team);
  await createConfiguration(outside, team);

  await createDeployment(team, 'application', podOf(application), { annotations });
  const pods = await readyPods(team, 'application');
  t.equal(pods.length, 2);
  for (const { status } of pods) {
    t.same(JSON.parse(await get(`http://${status.podIP}:3000/`)), {
      url: 'http://127.0.0.1:8080/v1',
      text: 'Bearer access-1',
      seen: [],
    });
    t.notOk(await reaches(status.podIP, 8080), 'the proxy');
    t.notOk(await reaches(status.podIP, 1455), 'the logins');
    t.ok(await reaches(status.podIP, 9464), 'the metrics');
  }
  t.same(outside.redeemed, ['first'], 'all by one refresh token');
  for (const { metadata, spec } of await podsOf(team, 'application')) {
    t.match(spec.initContainers, [{ name: 'sidebearer', restartPolicy: 'Always' }]);
    t.match(JSON.parse(metadata.annotations?.['sidebearer.dev/status'] ?? '{}'), { injected: true });
  }

  await admin('POST', `/apis/batch/v1/namespaces/${team}/jobs`, {
    metadata: { name: 'once' },
    spec: {
      backoffLimit: 0,
      template: {
        metadata: { labels: { app: 'once' }, annotations },
        spec: {
          ...podOf(
            `fetch(process.env.API_BASE_URL).then((given) => given.text()).then((text) => process.exit(text === 'Bearer access-1' ? 0 : 1));`,
          ),
          restartPolicy: 'Never',
        },
      },
    },
  });
  await kubectl('wait', '-n', team, 'job/once', '--for=condition=Complete', '--timeout=60s');
  t.match((await podsOf(team, 'once'))[0]?.spec.initContainers, [{ name: 'sidebearer' }]);

  // Beside them: whoever does not ask, whoever asks in a way that cannot be, and the webhook's own rights.
  await createDeployment(team, 'plain', podOf(application), {});
  await readyPods(team, 'plain');
  for (const { metadata, spec } of await podsOf(team, 'plain')) {
    t.notOk(spec.initContainers);
    t.notOk(metadata.annotations?.['sidebearer.dev/status']);
  }
  const misspelt = join(
    t.testdir({
      'pod.json': JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'misspelt', annotations: { 'sidebearer.dev/injekt': 'proxy' } },
        spec: podOf(application),
      }),
    }),
    'pod.json',
  );
  const { stderr } = await run('kubectl', ['apply', '-n', team, '--dry-run=server', '-f', misspelt]);
  t.match(stderr, /Warning: .*sidebearer\.dev\/injekt.*did you mean sidebearer\.dev\/inject\?/);

  const review = await admin('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    spec: {
      user: `system:serviceaccount:${system}:app-sidebearer`,
      resourceAttributes: { namespace: team, verb: 'get', resource: 'secrets', name: 'sidebearer-api' },
    },
  });
  t.match(review, { status: { allowed: false } }, 'the webhook may read no Secret');
});
