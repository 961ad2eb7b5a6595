// What the sidecar's neighbours can do: another pod reaches neither its proxy nor its logins, and the container beside it
// has neither the account's token nor the key. And what a pod costs under `restricted`, as a comment.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import t from 'tap';
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
  type Pod,
  readyPods,
  skip,
  values,
} from './_pods.ts';

t.setTimeout(600_000);

const node = '/nodejs/bin/node';

/** Runs a script in a container; resolves with what it prints. */
async function runIn(namespace: string, pod: Pod, container: string, script: string): Promise<string> {
  const place = ['exec', '-n', namespace, pod.metadata.name, '-c', container, '--'];
  return (await kubectl(...place, node, '-e', script)).trim();
}

/** How a connection from the container ends: `open`, or the error of the system. */
function connecting(host: string, port: number): string {
  const options = JSON.stringify({ host, port, timeout: 10_000 });
  return `const socket = require('node:net').connect(${options});
socket.on('connect', () => end('open')).on('error', ({ code }) => end(code)).on('timeout', () => end('silence'));
function end(how) { console.log(how); socket.destroy(); }`;
}

const account = '/var/run/secrets/kubernetes.io/serviceaccount/token';
const key = '/var/run/secrets/sidebearer/key';
const config = '/etc/sidebearer/config.yaml';
const seeing = `console.log(${JSON.stringify([account, key, config])}.filter((path) => {
  try { return require('node:fs').readFileSync(path).length > 0; } catch { return false; }
}).join(' '))`;

t.test('in sidecar mode other pods reach the metrics alone', { skip }, async (t) => {
  await makeImage();
  const outside = await startOutside(t);
  const namespace = await createRestricted(t);
  const script = `require('node:http').createServer((_, answer) => answer.end()).listen(3000);
process.on('SIGTERM', () => process.exit(0))`;
  await install(t, namespace, createApplication(), {
    image,
    script,
    sidebearer: { ...values(outside), mode: 'sidecar' },
  });
  const pods = await readyPods(namespace, 'app');
  const [one, other] = pods as [Pod, Pod];

  const own = '127.0.0.1';
  const expected: readonly (readonly [string, number, string])[] = [
    [other.status.podIP, 8080, 'ECONNREFUSED'],
    [other.status.podIP, 1455, 'ECONNREFUSED'],
    [other.status.podIP, 9464, 'open'],
    [one.status.podIP, 8080, 'ECONNREFUSED'],
    [one.status.podIP, 1455, 'ECONNREFUSED'],
    [own, 8080, 'open'],
    [own, 1455, 'open'],
  ];
  for (const [host, port, how] of expected) {
    t.equal(await runIn(namespace, one, 'application', connecting(host, port)), how, `${host}:${port}`);
  }
  t.match(await get(`http://${other.status.podIP}:9464/metrics`), 'sidebearer_build_info');

  for (const pod of pods) {
    t.equal(await runIn(namespace, pod, 'application', seeing), '', 'the application has none of it');
    t.equal(await runIn(namespace, pod, 'sidebearer', seeing), [account, key, config].join(' '), 'the sidecar has');
  }
  const { spec } = (await admin('GET', `/api/v1/namespaces/${namespace}/pods/${one.metadata.name}`)) as {
    spec: { automountServiceAccountToken: boolean; containers: { volumeMounts?: unknown }[] };
  };
  t.equal(spec.automountServiceAccountToken, false);
  t.same(
    spec.containers.map(({ volumeMounts }) => volumeMounts),
    [undefined],
  );
  await tellCost(t, namespace, pods);
});

t.test('in gateway mode other pods reach the proxy, by design, and not the logins', { skip }, async (t) => {
  await makeImage();
  const outside = await startOutside(t);
  const namespace = await createRestricted(t);
  await install(t, namespace, chart, values(outside));
  const pods = await readyPods(namespace, 'app-sidebearer');
  const [one, other] = pods as [Pod, Pod];
  const { podIP } = other.status;
  t.equal(await runIn(namespace, one, 'sidebearer', connecting(podIP, 1455)), 'ECONNREFUSED');
  const asking = `fetch('http://${podIP}:8080/').then((answer) => answer.text()).then(console.log)`;
  t.equal(await runIn(namespace, one, 'sidebearer', asking), 'Bearer access-1');
  await tellCost(t, namespace, pods);
});

// --- what it costs ----------------------------------------------------------------------------------------------

/** Size of the image; from the start of the process to its last listener, and its anonymous memory, for each pod. */
async function tellCost(t: { comment(text: string): void }, namespace: string, pods: readonly Pod[]): Promise<void> {
  const megabytes = (bytes: number): number => Math.round(bytes / 100_000) / 10;
  t.comment(`image: ${megabytes(statSync(imageFile).size)} MB`);
  for (const pod of pods) {
    const { uid } = pod.metadata;
    const pid = processOf(uid);
    const bytes = Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024;
    const log = await kubectl('logs', '-n', namespace, pod.metadata.name, '-c', 'sidebearer');
    const bound = [...log.matchAll(/"time":"([^"]+)".*"event":"listener_bound"/g)].at(-1)?.[1] ?? '';
    const startMs = Math.round(Date.parse(bound) - startedAtMs(pid));
    t.comment(`${pod.metadata.name}: listening after ${startMs} ms, RssAnon ${megabytes(bytes)} MB`);
  }
}

/** The sidecar's process on the node. */
function processOf(podUid: string): number {
  const pid = readdirSync('/proc').find((name) => {
    try {
      const program = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      const cgroup = readFileSync(`/proc/${name}/cgroup`, 'utf8');
      return program.includes('/app/sidebearer.js\0run') && cgroup.includes(podUid);
    } catch {
      return false;
    }
  });
  if (pid === undefined) throw new Error(`no process of pod ${podUid}`);
  return Number(pid);
}

/** Wall ms, by the clock ticks since boot that the kernel counts in hundredths of a second. */
function startedAtMs(pid: number): number {
  const ticks = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19]);
  const uptimeMs = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1_000;
  return Date.now() - uptimeMs + ticks * 10;
}
