// The image of the Dockerfile, installed by the chart in both modes, on a real node under Pod Security `restricted`: one
// rotating refresh token for all pods, redeemed once; the pod network reaches neither the sidecar's proxy nor its logins.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { imageFlags } from '../../bench/sidebearer.ts';
import { admin, kubectl } from './_cluster.ts';
import { startOutside } from './_outside.ts';
import {
  chart,
  createApplication,
  createRestricted,
  get,
  image,
  imageFile,
  install,
  makeImage,
  reaches,
  readyPods,
  skip,
  values,
} from './_pods.ts';

interface ImageConfig {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Healthcheck: { readonly Test: readonly string[] };
  readonly Labels: Readonly<Record<string, string>>;
}

async function imageConfig(): Promise<ImageConfig> {
  await makeImage();
  const text = readFileSync(`${imageFile}.json`, 'utf8');
  return (JSON.parse(text) as { Docker: { config: ImageConfig } }).Docker.config;
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

t.test('an application’s pods share one token by their sidecars, and see nothing of it', { skip }, async (t) => {
  await makeImage();
  const outside = await startOutside(t);
  const namespace = await createRestricted(t);
  await install(t, namespace, createApplication(), {
    image,
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
