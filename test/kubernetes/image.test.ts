// The image of the Dockerfile, installed by the chart in both modes, on a real node under Pod Security `restricted`: one
// rotating refresh token for all pods, redeemed once; the pod network reaches neither the sidecar's proxy nor its logins.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { request } from 'undici';
import { imageFlags } from '../../bench/sidebearer.ts';
import { admin, createNamespace, kubectl, skip as noCluster } from './_cluster.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const chart = join(root, 'helm/sidebearer');
/** Where pods reach what runs on the node. */
const NODE = '198.51.100.1';
const hasBuildah = spawnSync('buildah', ['--version']).status === 0;
const skip = noCluster !== false ? noCluster : hasBuildah ? false : 'buildah is not installed';

const folder = mkdtempSync(join(tmpdir(), 'sidebearer-image-'));
t.teardown(() => rmSync(folder, { recursive: true }));

let made: Promise<void> | undefined;
/** Built and imported once. */
function makeImage(): Promise<void> {
  made ??= (async () => {
    const file = join(folder, 'image.tar');
    await run('bash', [join(root, 'test/kubernetes/image.sh'), file]);
    const node = join(root, 'test/kubernetes/node.sh');
    await run('bash', [node, 'image', process.env['SIDEBEARER_KUBERNETES'] ?? '', file]);
  })();
  return made;
}

interface Outside {
  readonly port: number;
  readonly redeemed: string[];
}

/** A provider whose refresh tokens serve once, and an upstream that answers with what it was shown. */
async function startOutside(t: Test): Promise<Outside> {
  const redeemed: string[] = [];
  let current = 'first';
  const server: Server = createServer(async (asked, answer) => {
    if (asked.url !== '/token') {
      answer.end(asked.headers.authorization);
      return;
    }
    const given = new URLSearchParams(await textOf(asked)).get('refresh_token') ?? '';
    redeemed.push(given);
    if (given !== current) {
      answer.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"invalid_grant"}');
      return;
    }
    current = `refresh-${redeemed.length}`;
    const tokens = { access_token: `access-${redeemed.length}`, token_type: 'Bearer', expires_in: 3600 };
    answer.writeHead(200, { 'content-type': 'application/json' });
    answer.end(JSON.stringify({ ...tokens, refresh_token: current }));
  });
  server.listen(0, NODE);
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : 0, redeemed };
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of message) text += chunk;
  return text;
}

function values({ port }: Outside): object {
  return {
    image: { registry: 'localhost', repository: 'sidebearer', tag: 'test', pullPolicy: 'Never' },
    sealKey: { existingSecret: 'sidebearer-key' },
    config: {
      routes: [{ upstream: `http://${NODE}:${port}`, credential: 'api' }],
      credentials: {
        api: {
          provider: 'oauth2',
          grant: 'refresh_token',
          refreshToken: 'first',
          tokenUrl: `http://${NODE}:${port}/token`,
          clientId: 'app',
          allowHttp: true,
        },
      },
      readiness: { require: 'all' },
    },
  };
}

async function createRestricted(t: Test): Promise<string> {
  const namespace = await createNamespace(t);
  await admin('PATCH', `/api/v1/namespaces/${namespace}`, {
    metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  });
  await admin('POST', `/api/v1/namespaces/${namespace}/secrets`, {
    metadata: { name: 'sidebearer-key' },
    stringData: { key: Buffer.alloc(32, 7).toString('base64') },
  });
  return namespace;
}

async function install(t: Test, namespace: string, path: string, settings: object): Promise<void> {
  const file = join(folder, `${namespace}.json`);
  writeFileSync(file, JSON.stringify(settings));
  await run('helm', ['install', 'app', path, '-n', namespace, '-f', file]);
  t.teardown(() => run('helm', ['uninstall', 'app', '-n', namespace]));
}

interface Pod {
  readonly metadata: { readonly name: string };
  readonly status: { readonly podIP: string };
}

/** Ready means that a token is in hand: `readiness.require` is all. */
async function readyPods(namespace: string, deployment: string): Promise<Pod[]> {
  await kubectl('rollout', 'status', '-n', namespace, `deployment/${deployment}`, '--timeout=90s');
  return (JSON.parse(await kubectl('get', 'pods', '-n', namespace, '-o', 'json')) as { items: Pod[] }).items;
}

async function reaches(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function get(url: string): Promise<string> {
  return (await request(url)).body.text();
}

interface ImageConfig {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Healthcheck: { readonly Test: readonly string[] };
  readonly Labels: Readonly<Record<string, string>>;
}

async function imageConfig(): Promise<ImageConfig> {
  await makeImage();
  const image = JSON.parse(readFileSync(join(folder, 'image.tar.json'), 'utf8')) as { Docker: { config: ImageConfig } };
  return image.Docker.config;
}

t.test('the image has no root, a health check and the flags of its Node', { skip }, async (t) => {
  const config = await imageConfig();
  t.equal(config.User, '65532:65532');
  t.same(config.Entrypoint, ['/nodejs/bin/node', ...imageFlags, '/app/sidebearer.js']);
  t.same(config.Healthcheck.Test.slice(0, -5), ['CMD', ...config.Entrypoint]);
  t.equal(config.Labels['org.opencontainers.image.licenses'], 'Apache-2.0');
});

t.test('a gateway of two replicas serves with one redeem, and keeps its token in a Secret', { skip }, async (t) => {
  await makeImage();
  const outside = await startOutside(t);
  const namespace = await createRestricted(t);
  await install(t, namespace, chart, values(outside));
  const pods = await readyPods(namespace, 'app-sidebearer');
  t.equal(pods.length, 2);
  for (const { status } of pods) {
    t.equal(await get(`http://${status.podIP}:8080/`), 'Bearer access-1');
    t.notOk(await reaches(status.podIP, 1455), 'logins are on loopback');
  }
  t.same(outside.redeemed, ['first']);
  const { Healthcheck } = await imageConfig();
  const pod = pods[0]?.metadata.name ?? '';
  await kubectl('exec', '-n', namespace, pod, '--', ...Healthcheck.Test.slice(1));
  const told = await kubectl('exec', '-n', namespace, pod, '--', 'sidebearer', 'status');
  t.match(told, /CREDENTIAL/, 'as docs/operations.md and `login --pod` have it');
  const secret = await admin('GET', `/api/v1/namespaces/${namespace}/secrets/app-sidebearer-api`);
  const record = Buffer.from(
    (secret as { data: Record<string, string> }).data['record.json'] ?? '',
    'base64',
  ).toString();
  t.not(record, '');
  t.notMatch(record, /access-1|refresh-1/, 'sealed');

  await kubectl('rollout', 'restart', '-n', namespace, 'deployment/app-sidebearer');
  for (const { status } of await readyPods(namespace, 'app-sidebearer')) {
    if (await reaches(status.podIP, 8080)) t.equal(await get(`http://${status.podIP}:8080/`), 'Bearer access-1');
  }
  t.same(outside.redeemed, ['first'], 'new pods take what is stored');
});

/** Answers with what the sidecar gave it, and with what of the sidecar's it can see. */
const application = `
const { existsSync } = require('node:fs');
const seen = () => ['/var/run/secrets/kubernetes.io/serviceaccount', '/var/run/secrets/sidebearer', '/etc/sidebearer/config.yaml'].filter((path) => existsSync(path));
require('node:http').createServer(async (_, answer) => {
  const text = await fetch('http://127.0.0.1:8080/').then((given) => given.text(), (error) => String(error));
  answer.end(JSON.stringify({ text, seen: seen() }));
}).listen(3000);
process.on('SIGTERM', () => process.exit(0));
`;

function createApplication(): string {
  const path = join(folder, 'application');
  cpSync(join(root, 'examples/kubernetes/application'), path, { recursive: true });
  cpSync(chart, join(path, 'charts/sidebearer'), { recursive: true });
  const template = join(path, 'templates/deployment.yaml');
  const text = readFileSync(template, 'utf8').replace(
    '          env:\n',
    `          command: [/nodejs/bin/node, -e, {{ .Values.script | toJson }}]\n          env:\n`,
  );
  writeFileSync(template, text);
  // Its own credential would be one more that has no token.
  writeFileSync(join(path, 'values.yaml'), '');
  return path;
}

t.test('an application’s pods share one token by their sidecars, and see nothing of it', { skip }, async (t) => {
  await makeImage();
  const outside = await startOutside(t);
  const namespace = await createRestricted(t);
  await install(t, namespace, createApplication(), {
    image: 'localhost/sidebearer:test',
    script: application,
    sidebearer: { ...values(outside), mode: 'sidecar' },
  });
  const pods = await readyPods(namespace, 'app');
  t.equal(pods.length, 3);
  for (const { status } of pods) {
    t.same(JSON.parse(await get(`http://${status.podIP}:3000/`)), { text: 'Bearer access-1', seen: [] });
    t.notOk(await reaches(status.podIP, 8080), 'the proxy');
    t.notOk(await reaches(status.podIP, 1455), 'the logins');
    t.ok(await reaches(status.podIP, 9464), 'the metrics');
  }
  t.same(outside.redeemed, ['first']);

  const forward = spawn('kubectl', ['port-forward', '-n', namespace, `pod/${pods[0]?.metadata.name}`, '1455']);
  t.teardown(async () => {
    forward.kill('SIGTERM');
    if (forward.exitCode === null && forward.signalCode === null) await once(forward, 'exit');
  });
  await once(forward.stdout, 'data');
  t.match(await get('http://127.0.0.1:1455/status.json'), '"api"', 'kubectl port-forward reaches the logins');
});
