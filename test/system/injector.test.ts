// The webhook as a process of its own: reviews by HTTPS, a certificate that is replaced as kubelet does, probes, its end.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { Agent, request } from 'undici';
import { podWith } from '../inject/_pods.ts';
import { type AdmissionAnswer, reviewOf } from '../inject/_review.ts';
import { type Certificate, createAuthority } from '../providers/_certificate.ts';
import { createMount, type Mount } from './_mount.ts';
import { eventually, type LogLine, program, runCommand } from './_process.ts';

const authority = createAuthority('webhook');
const issue = (until = '20991231235959Z'): Certificate => authority.issue({ addresses: ['127.0.0.1'], until });
const filesOf = ({ cert, key }: Certificate) => ({ 'tls.crt': cert, 'tls.key': key });
const image = 'registry.example/sidebearer:0.1.0';

interface Webhook {
  readonly process: ChildProcess;
  readonly url: URL;
  readonly telemetryUrl: string;
  readonly lines: readonly LogLine[];
  output(): string;
  readonly ended: Promise<number | string>;
  /** @param more over the fields of the request */
  review(pod: unknown, more?: Readonly<Record<string, unknown>>): Promise<AdmissionAnswer['response']>;
  /** Of the last answer. */
  connectionHeader(): unknown;
  metrics(): Promise<string>;
}

function argumentsFor(mount: Mount, listen = '127.0.0.1:0', minDrain = '300ms'): string[] {
  const tls = ['--tls-cert', mount.path('tls.crt'), '--tls-key', mount.path('tls.key')];
  return [
    'inject',
    ...tls,
    '--image',
    image,
    '--listen',
    listen,
    '--telemetry',
    '127.0.0.1:0',
    '--min-drain',
    minDrain,
  ];
}

async function start(t: Test, mount: Mount, minDrain?: string): Promise<Webhook> {
  const child = spawn(process.execPath, [program, ...argumentsFor(mount, undefined, minDrain)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const lines: LogLine[] = [];
  let output = '';
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  createInterface({ input: child.stdout }).on('line', (text) => {
    output += `${text}\n`;
    lines.push(JSON.parse(text) as LogLine);
  });
  const ended = once(child, 'close').then(([code, signal]): number | string => code ?? signal);
  const bound = (listener: string) =>
    lines.find((line) => line.event === 'listener_bound' && line.listener === listener);
  const url = new URL(await eventually(`a webhook\n${output}`, () => bound('webhook')?.url));
  const telemetryUrl = await eventually('its telemetry', () => bound('telemetry')?.url);
  let connectionHeader: unknown;
  const dispatcher = new Agent({ connect: { ca: authority.cert } });
  t.teardown(() => dispatcher.destroy());
  return {
    process: child,
    url,
    telemetryUrl,
    lines,
    output: () => output,
    ended,
    connectionHeader: () => connectionHeader,
    async review(pod, more) {
      const headers = { 'content-type': 'application/json' };
      const path = new URL('/mutate?timeout=5s', url);
      const answer = await request(path, { dispatcher, method: 'POST', headers, body: reviewOf(pod, more) });
      connectionHeader = answer.headers['connection'];
      return ((await answer.body.json()) as AdmissionAnswer).response;
    },
    metrics: async () => await (await request(`${telemetryUrl}/metrics`)).body.text(),
  };
}

async function connection(t: Test, { port }: URL): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port: Number(port), ca: authority.cert });
  t.teardown(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

const serialOf = async (t: Test, url: URL): Promise<string> =>
  (await connection(t, url)).getPeerCertificate().serialNumber;

t.test('a pod that asks is injected, another is not; both are counted, one is logged', async (t) => {
  const webhook = await start(t, createMount(t, filesOf(issue())));
  const { patch = '', ...answer } = await webhook.review(podWith({ 'log-levle': 'debug' }));
  t.match(answer, {
    allowed: true,
    warnings: [/sidebearer\.dev\/log-levle is not known \(did you mean sidebearer\.dev\/log-level\?\)/],
  });
  t.match(Buffer.from(patch, 'base64').toString(), image);
  t.strictSame(await webhook.review({ metadata: {}, spec: { containers: [{ name: 'a' }] } }), {
    uid: 'review-1',
    allowed: true,
  });
  await webhook.review(podWith({ quit: 'perhaps' }), { dryRun: true });
  await webhook.review(podWith(), { operation: 'UPDATE' });
  const metrics = await webhook.metrics();
  t.match(metrics, /^sidebearer_injections_total\{outcome="refused"\} 1$/m);
  t.match(metrics, /^sidebearer_injections_total\{outcome="ignored"\} 1$/m);
  t.match(metrics, /^sidebearer_injections_total\{outcome="failed"\} 0$/m);
  t.match(metrics, /^sidebearer_injections_total\{outcome="injected"\} 1$/m);
  t.match(metrics, /^sidebearer_injections_total\{outcome="untouched"\} 1$/m);
  t.match(metrics, /^sidebearer_injector_certificate_expiry_timestamp_seconds 4102444799$/m);
  t.strictSame(
    webhook.lines
      .filter(({ event }) => event === 'pod_reviewed')
      .map(({ outcome, level, dryRun }) => [outcome, level, dryRun]),
    [
      ['injected', 'info', undefined],
      ['refused', 'warn', true],
      ['ignored', 'warn', undefined],
    ],
  );
  for (const path of ['livez', 'readyz', 'startupz']) {
    t.equal((await request(`${webhook.telemetryUrl}/${path}`)).statusCode, 200, path);
  }
});

t.test('a certificate that is replaced is shown to new connections, and open ones live', async (t) => {
  const mount = createMount(t, filesOf(issue()));
  const webhook = await start(t, mount);
  const open = await connection(t, webhook.url);
  const { serialNumber } = open.getPeerCertificate();
  mount.swap(filesOf(issue('20601231235959Z')));
  await eventually('the new one', async () => (await serialOf(t, webhook.url)) !== serialNumber);
  open.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const [chunk] = (await once(open, 'data')) as [Buffer];
  t.match(chunk.toString('latin1'), /^HTTP\/1\.1 404 /);
  const metrics = await webhook.metrics();
  t.match(metrics, /^sidebearer_injector_tls_reloads_total\{outcome="taken"\} 1$/m);
  t.match(metrics, /^sidebearer_injector_certificate_expiry_timestamp_seconds 2871763199$/m);
  t.ok(webhook.lines.some(({ event }) => event === 'tls_reloaded'));
});

t.test('a pair that cannot be used is refused, told without a word of the key, and healed by the next', async (t) => {
  const first = issue();
  const mount = createMount(t, filesOf(first));
  const webhook = await start(t, mount);
  const before = await serialOf(t, webhook.url);
  const { key } = issue();
  mount.swap({ 'tls.crt': first.cert, 'tls.key': key });
  await eventually('the refusal', async () =>
    /tls_reloads_total\{outcome="refused"\} [1-9]/.test(await webhook.metrics()),
  );
  t.equal(await serialOf(t, webhook.url), before);
  t.match(await webhook.review(podWith()), { allowed: true });
  t.equal(webhook.lines.filter(({ code }) => code === 'tls_file_unusable').length, 1);
  t.match(await webhook.metrics(), /^sidebearer_errors_total\{layer="\w+",code="tls_file_unusable"\} 1$/m);
  for (const line of key.split('\n').slice(1, -2)) t.notOk(webhook.output().includes(line));
  mount.swap(filesOf(issue()));
  await eventually('the next one', async () => (await serialOf(t, webhook.url)) !== before);
});

t.test('SIGTERM: not ready at once, requests are still taken, then exit 0', async (t) => {
  const webhook = await start(t, createMount(t, filesOf(issue())));
  webhook.process.kill('SIGTERM');
  const ready = async () => (await request(`${webhook.telemetryUrl}/readyz`)).statusCode;
  await eventually('not ready', async () => (await ready()) === 503);
  t.match(await webhook.review(podWith()), { allowed: true });
  t.equal(webhook.connectionHeader(), 'close', 'the API server turns to another replica');
  t.equal(await webhook.ended, 0);
});

t.test('SIGINT ends it, too; a second signal ends it at once', async (t) => {
  const interrupted = await start(t, createMount(t, filesOf(issue())));
  interrupted.process.kill('SIGINT');
  t.equal(await interrupted.ended, 0);
  const hurried = await start(t, createMount(t, filesOf(issue())), '1h');
  hurried.process.kill('SIGTERM');
  await eventually('not ready', async () => (await request(`${hurried.telemetryUrl}/readyz`)).statusCode === 503);
  hurried.process.kill('SIGTERM');
  t.equal(await hurried.ended, 'SIGTERM');
});

t.test('what it cannot begin with is told with its code', async (t) => {
  const mount = createMount(t, filesOf(issue()));
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  t.teardown(() => holder.close());
  const { port } = holder.address() as { port: number };
  t.match(await runCommand(argumentsFor(mount, `127.0.0.1:${port}`)), {
    exit: 13,
    output: /listen_port_busy.*--listen/,
  });
  t.match(await runCommand(['inject']), { exit: 2, output: /usage_invalid.*--tls-cert/s });
  t.match(await runCommand([...argumentsFor(mount), '--log-level', 'loud']), { output: /usage_invalid.*--log-level/s });
  mount.swap({ 'tls.crt': 'nothing', 'tls.key': 'nothing' });
  t.match(await runCommand(argumentsFor(mount)), { output: /tls_file_unusable/ });
});
