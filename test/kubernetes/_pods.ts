// Pods of the image under test: the image built and imported once for each node, the chart's values for the
// provider and the upstream of `_outside.ts`, namespaces under Pod Security `restricted`, and releases of helm.
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { request } from 'undici';
import { admin, createNamespace, kubectl, skip as noCluster, type Scope } from './_cluster.ts';
import { NODE, type Outside } from './_outside.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

export const chart = join(root, 'helm/sidebearer');
export const image = 'localhost/sidebearer:test';

const hasBuildah = spawnSync('buildah', ['--version']).status === 0;
/** For `t.test`: why there are no pods, or false. */
export const skip = noCluster !== false ? noCluster : hasBuildah ? false : 'buildah is not installed';

/** The test file's own; gone with it. */
export const folder = mkdtempSync(join(tmpdir(), 'sidebearer-image-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** A docker archive of `image`; `.json` beside it is what buildah says of it. */
export const imageFile = join(process.env['SIDEBEARER_KUBERNETES'] ?? folder, 'image.tar');
const bundle = join(root, 'dist/sidebearer.js');

let made: Promise<void> | undefined;

/** Builds `image` and imports it into the node: once for all test files, and again where the bundle is newer. */
export function makeImage(): Promise<void> {
  made ??= (async () => {
    const imported = `${imageFile}.imported`;
    if (existsSync(imported) && statSync(imported).mtimeMs > statSync(bundle).mtimeMs) return;
    rmSync(imageFile, { force: true });
    await run('bash', [join(root, 'test/kubernetes/image.sh'), imageFile]);
    const node = join(root, 'test/kubernetes/node.sh');
    await run('bash', [node, 'image', process.env['SIDEBEARER_KUBERNETES'] ?? '', imageFile]);
    writeFileSync(imported, '');
  })();
  return made;
}

/** The chart's values: one credential, `api`, by one refresh token for all pods; ready means that a token is in hand. */
export function values({ port }: Outside) {
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

/** A namespace under `restricted`, with the seal key. */
export async function createRestricted(t: Scope): Promise<string> {
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

/** The release `app` of the chart at `path`. */
export async function install(t: Scope, namespace: string, path: string, settings: object): Promise<void> {
  const file = join(folder, `${namespace}.json`);
  writeFileSync(file, JSON.stringify(settings));
  await run('helm', ['install', 'app', path, '-n', namespace, '-f', file]);
  t.teardown(() => run('helm', ['uninstall', 'app', '-n', namespace]));
}

/**
 * A chart with this one in it: the example, whose application is a script for the image's Node (`script`)
 * that listens on 3000, in `replicas` pods.
 */
export function createApplication(): string {
  const path = join(folder, 'application');
  // Once for each test file.
  rmSync(path, { recursive: true, force: true });
  cpSync(join(root, 'examples/kubernetes/application'), path, { recursive: true });
  cpSync(chart, join(path, 'charts/sidebearer'), { recursive: true });
  const template = join(path, 'templates/deployment.yaml');
  let text = readFileSync(template, 'utf8');
  const put = (found: string, instead: string): void => {
    if (!text.includes(found)) throw new Error(`the example no longer has ${found}`);
    text = text.replace(found, instead);
  };
  put('          env:\n', '          command: [/nodejs/bin/node, -e, {{ .Values.script | toJson }}]\n          env:\n');
  // The script answers every path with what it fetched through the sidecar.
  put('httpGet: { path: /healthz, port: http }', 'tcpSocket: { port: http }');
  put('periodSeconds: 5', 'periodSeconds: 1');
  put('replicas: 3', 'replicas: {{ ternary .Values.replicas 3 (hasKey .Values "replicas") }}');
  writeFileSync(template, text);
  // Its own credential would be one more that has no token.
  writeFileSync(join(path, 'values.yaml'), '');
  return path;
}

export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: { readonly podIP: string };
}

/** Those of a deployment, once it is rolled out. */
export async function readyPods(namespace: string, deployment: string): Promise<Pod[]> {
  await kubectl('rollout', 'status', '-n', namespace, `deployment/${deployment}`, '--timeout=90s');
  return (JSON.parse(await kubectl('get', 'pods', '-n', namespace, '-o', 'json')) as { items: Pod[] }).items;
}

/** Whether a connection can be opened, from the node. */
export async function reaches(host: string, port: number): Promise<boolean> {
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

export async function get(url: string): Promise<string> {
  return (await request(url)).body.text();
}
