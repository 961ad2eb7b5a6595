// inject and uninject of a file, as processes: what is written, what is said beside it, and the exit codes.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { type Outcome, sidebearer } from './_command.ts';

t.setTimeout(120_000);

const image = 'registry.example/sidebearer:0.1.0';

function fileWith(t: Test, text: string | Uint8Array): string {
  const path = join(t.testdir(), 'manifest.yaml');
  writeFileSync(path, text);
  return path;
}

/** @param more over the pod's annotations, without the prefix; undefined takes one away */
function podWith(more: Readonly<Record<string, string | undefined>> = {}, spec: object = {}): string {
  const given = Object.entries({ inject: 'config', ...more }).filter(([, value]) => value !== undefined);
  const annotations = Object.fromEntries(given.map(([name, value]) => [`sidebearer.dev/${name}`, value]));
  return stringify({
    kind: 'Pod',
    metadata: { name: 'web', annotations },
    spec: { automountServiceAccountToken: false, containers: [{ name: 'app' }], ...spec },
  });
}

const inject = (t: Test, text: string, ...more: string[]): Promise<Outcome> =>
  sidebearer(['inject', '--file', fileWith(t, text), '--image', image, ...more]);
const uninject = (t: Test, text: string): Promise<Outcome> => sidebearer(['uninject', '--file', fileWith(t, text)]);

t.test(
  'inject writes the file with its pods injected, uninject gives the file back; both exit 0 in silence',
  async (t) => {
    const text = `# web\n${podWith({ env: 'API_URL' })}---\nkind: Service\n`;
    const injected = await inject(t, text);
    t.match(injected, { code: 0, err: '' });
    t.match(
      injected.out,
      /^# web\n.*initContainers:\n.*image: registry\.example\/sidebearer:0\.1\.0\n.*\n---\nkind: Service\n$/s,
    );
    t.strictSame(await uninject(t, injected.out), { code: 0, out: text, err: '' });
    const again = await inject(t, injected.out);
    t.match(again, { code: 0, out: injected.out, err: /^Pod web: it has the sidecar already\n$/ });
  },
);

t.test('--image-pull-policy and --keys-secret are what a pod gets that names no other', async (t) => {
  const { out } = await inject(t, podWith(), '--image-pull-policy', 'Never', '--keys-secret', 'seal');
  t.match(out, /imagePullPolicy: Never\n/);
  t.match(out, /secretName: seal\n/);
  t.match((await inject(t, podWith())).out, /secretName: sidebearer-keys\n/);
});

t.test('- is standard input, and the byte order mark stays from wherever it comes', async (t) => {
  const text = `\u{feff}${podWith()}`;
  const piped = await sidebearer(['inject', '--file', '-', '--image', image], { input: text });
  t.match(piped, { code: 0, out: /^\u{feff}kind: Pod\n.*initContainers:/su, err: '' });
  t.strictSame(await sidebearer(['uninject', '-f', '-'], { input: piped.out }), { code: 0, out: text, err: '' });
  t.strictSame(await inject(t, text), piped, 'the same of a file');
});

t.test('a pod that asks and cannot be injected is told, the file stays as it is, and the exit code is 1', async (t) => {
  const good = podWith();
  const cases: readonly (readonly [string, RegExp])[] = [
    [podWith({ quit: 'yes' }), /^Pod web: not injected: sidebearer\.dev\/quit is not true or false\n$/],
    [podWith({}, { hostNetwork: true }), /^Pod web: not injected: it uses the network of its node/],
    [
      podWith({ status: '{"injected":true}' }),
      /^Pod web: not injected: it has the annotation .* without the container/,
    ],
  ];
  for (const [text, message] of cases) {
    t.match(await inject(t, text), { code: 1, out: text, err: message });
    const both = await inject(t, `${good}---\n${text}`);
    t.equal(both.code, 1, 'one of two');
    t.match(both.out, /initContainers:/);
    t.ok(both.out.endsWith(`---\n${text}`));
  }
  const withoutImage = await sidebearer(['inject', '--file', fileWith(t, good)]);
  t.match(withoutImage, { code: 1, out: good, err: /no image is named: set sidebearer\.dev\/image/ });
});

t.test('where no pod asks, it says how one does, exits 1, and the file is what it was', async (t) => {
  for (const text of [podWith({ inject: undefined }), podWith({ inject: 'false' }), 'kind: Service\n']) {
    t.match(await inject(t, text), { code: 1, out: text, err: /^No pod asks for a sidecar/ });
  }
  t.match(await inject(t, podWith({ inject: undefined, Inject: 'config' })), {
    code: 1,
    err: /^Pod web: the annotation sidebearer\.dev\/Inject is not known \(did you mean sidebearer\.dev\/inject\?\)\n/,
  });
});

t.test('an annotation on the workload in place of its template is told', async (t) => {
  const template = { metadata: {}, spec: { containers: [{ name: 'app' }] } };
  const annotations = { 'sidebearer.dev/inject': 'config' };
  const workload = (inside: object) =>
    stringify({
      kind: 'Deployment',
      metadata: { name: 'shop', annotations },
      spec: { template: { ...template, metadata: inside } },
    });
  const message = /^Deployment shop: sidebearer\.dev\/inject is on the workload, and does nothing there/;
  t.match(await inject(t, workload({})), { code: 1, err: message });
  const { code, err } = await inject(t, workload({ annotations }));
  t.equal(code, 0);
  t.notMatch(err, /does nothing there/, 'it may be on both');
});

t.test('uninject leaves what inject has not written, and says so', async (t) => {
  t.match(await uninject(t, podWith()), { code: 1, out: podWith(), err: /^No pod has anything of inject/ });
  const foreign = podWith({}, { containers: [{ name: 'sidebearer' }] });
  const injected = (await inject(t, podWith())).out;
  for (const text of [foreign, `${injected}---\n${foreign}`]) {
    const { code, out, err } = await uninject(t, text);
    t.equal(code, 1);
    t.match(err, /^Pod web: left as it is: it has a container sidebearer that was not injected/);
    t.ok(out.endsWith(foreign));
    t.notMatch(out, /initContainers/);
  }
});

t.test('what cannot be read is manifest_unusable with its reason, and nothing is written', async (t) => {
  const absent = join(t.testdir(), 'absent.yaml');
  for (const command of ['inject', 'uninject']) {
    t.match(await sidebearer([command, '--file', absent]), {
      code: 1,
      out: '',
      err: /manifest_unusable.*it cannot be read.*absent\.yaml/s,
    });
    const bytes = fileWith(t, Uint8Array.of(0x61, 0xff));
    t.match(await sidebearer([command, '--file', bytes]), { code: 1, out: '', err: /it is not text in UTF-8/ });
    const broken = fileWith(t, 'kind: Pod\nspec: [\n');
    t.match(await sidebearer([command, '--file', broken]), { code: 1, out: '', err: /manifest_unusable.*line \d/s });
  }
});

t.test('a usage that cannot be meant is usage_invalid, exit 2', async (t) => {
  const file = ['--file', fileWith(t, podWith())];
  const tls = ['--tls-cert', 'a', '--tls-key', 'b'];
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['inject'], /the webhook needs --tls-cert; for a file, give --file/],
    [['inject', '--tls-cert', 'a'], /the webhook needs --tls-key/],
    [['inject', ...tls], /the webhook needs --image/],
    [['inject', ...tls, '--image', image, '--listen', 'x'], /--listen is not an address such as/],
    [['inject', ...tls, '--image', image, '--telemetry', 'x'], /--telemetry is not an address such as/],
    [['inject', ...tls, '--image', image, '--log-level', 'loud'], /--log-level is not one of trace/],
    [['inject', ...tls, '--image', image, '--min-drain', 'soon'], /--min-drain is not a duration such as/],
    [['inject', ...file, '--image', 'a b'], /--image is not an image/],
    [['inject', ...file, '--image-pull-policy', 'never'], /--image-pull-policy is not Always/],
    [['inject', ...file, '--keys-secret', 'A_B'], /--keys-secret is not the name of a Secret/],
    [['inject', '--file'], /--file needs a value/],
    [['uninject'], /--file FILE is missing/],
  ];
  const told = cases.map(async ([argv, message]) => {
    t.match(await sidebearer(argv), { code: 2, out: '', err: message }, argv.join(' '));
  });
  await Promise.all(told);
});
