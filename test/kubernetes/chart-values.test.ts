// Values as people write them: each renders what the API server takes, or is refused with a sentence that names it.
// chart.test.ts has what cannot work; this needs helm alone.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { skip } from './_cluster.ts';
import { chart, helm, type Manifest, readManifests, refusal, render } from './_helm.ts';

const gateway = join(chart, 'ci/gateway-values.yaml');
const injector = join(chart, 'ci/injector-values.yaml');

const ofKind = (objects: readonly Manifest[], kind: string): Manifest | undefined =>
  objects.find((each) => each.kind === kind);

t.test('a value of the wrong shape is refused by its name', { skip }, async (t) => {
  const refusals: readonly (readonly [string, RegExp])[] = [
    ['commonLabels={"n":1}', /at '\/commonLabels\/n': got number, want string/],
    ['podAnnotations={"n":true}', /at '\/podAnnotations\/n': got boolean, want string/],
    ['nodeSelector={"n":1}', /at '\/nodeSelector\/n': got number, want string/],
    ['service.annotations={"n":1}', /at '\/service\/annotations\/n': got number, want string/],
    ['nameOverride="A_B"', /at '\/nameOverride': 'A_B' does not match/],
    ['fullnameOverride="A_B"', /at '\/fullnameOverride': 'A_B' does not match/],
    ['image.digest="sha256:abc"', /at '\/image\/digest'/],
    ['startupProbe=null', /missing property 'startupProbe'/],
    ['networkPolicy=null', /missing property 'networkPolicy'/],
    ['config=null', /missing property 'config'/],
    ['config.credentials=null', /at '\/config\/credentials': got null, want object/],
    ['config.credentials.codex=null', /at '\/config\/credentials\/codex': got null, want object/],
    ['config.credentials.Codex_1={"provider":"codex"}', /'Codex_1' does not match pattern/],
    ['config.credentials.a-logins={"provider":"codex"}', /at '\/config\/credentials'.*'a-logins'|'not' failed/s],
    ['config.store.kind="kubernets"', /at '\/config\/store\/kind': value must be one of 'memory', 'file', 'redis'/],
    ['config.listen.proxy=8080', /at '\/config\/listen\/proxy': got number, want string/],
    ['config.listen.oauth=1455', /at '\/config\/listen\/oauth'/],
    ['podDisruptionBudget.minAvailable=1', /additional properties 'minAvailable' not allowed/],
    ['podDisruptionBudget.maxUnavailable="50"', /at '\/podDisruptionBudget\/maxUnavailable'/],
    ['service.type="ExternalName"', /at '\/service\/type': value must be one of/],
    ['extraObjects=[5]', /at '\/extraObjects\/0': got number/],
    [
      'autoscaling={"enabled":true,"minReplicas":5,"maxReplicas":2}',
      /autoscaling.minReplicas is 5 and autoscaling.maxReplicas 2/,
    ],
    ['autoscaling={"enabled":true,"targetCPUUtilizationPercentage":0}', /autoscaling has nothing to go by/],
  ];
  for (const [setting, reason] of refusals) {
    t.match(await refusal(chart, '-f', gateway, '--set-json', setting), reason, setting);
  }
  const twice = 'injector.namespaces=[{"name":"a","credentials":["x"]},{"name":"a","credentials":["y"]}]';
  t.match(await refusal(chart, '-f', injector, '--set-json', twice), /injector.namespaces names a twice/);
});

t.test('no label is there twice, and selectors find their pods whatever labels are given', { skip }, async (t) => {
  const labels = { 'app.kubernetes.io/name': 'theirs', 'app.kubernetes.io/version': 'theirs', team: 'a' };
  // A key that stands twice is a mistake for the reader of these documents.
  const objects = await render(
    ...[chart, '-f', gateway, '--set-json', `commonLabels=${JSON.stringify(labels)}`],
    ...['--set', 'podLabels.team=b,podLabels.app\\.kubernetes\\.io/instance=theirs'],
  );
  const selecting = { 'app.kubernetes.io/name': 'sidebearer', 'app.kubernetes.io/instance': 'app' };
  t.match(ofKind(objects, 'Deployment'), {
    metadata: { labels: { ...labels, ...selecting } },
    spec: { selector: { matchLabels: selecting }, template: { metadata: { labels: { ...selecting, team: 'b' } } } },
  });
  t.match(ofKind(objects, 'Secret'), { metadata: { labels: { ...labels, ...selecting } } });
});

t.test('a release and a namespace whose names are digits stay text', { skip }, async (t) => {
  for (const values of [gateway, injector]) {
    const text = await helm('template', '12', chart, '-n', '345', '-f', values);
    for (const { kind, metadata } of readManifests(text)) {
      t.type(metadata.name, 'string', kind);
      t.ok(['string', 'undefined'].includes(typeof metadata.namespace), kind);
    }
    t.notMatch(text, /(?:name|namespace|instance|serviceAccountName): \d+$/m);
  }
  const named = await render(chart, '-f', gateway, '--set-string', 'fullnameOverride=12,serviceAccount.name=34');
  t.match(ofKind(named, 'RoleBinding'), { subjects: [{ name: '34' }], roleRef: { name: '12' } });
  t.match(ofKind(named, 'Deployment'), { spec: { template: { spec: { serviceAccountName: '34' } } } });
});

t.test('`oauth: off`, which Helm takes for a boolean, is off', { skip }, async (t) => {
  const values = join(t.testdir(), 'off.yaml');
  writeFileSync(values, 'config: { listen: { oauth: off } }');
  const { data } = ofKind(await render(chart, '-f', gateway, '-f', values), 'ConfigMap') as unknown as {
    data: { 'config.yaml': string };
  };
  t.match(parse(data['config.yaml']), { listen: { oauth: 'off', proxy: '0.0.0.0:8080' } });
});

t.test('two credentials, each store, each mode: every name that a pod mounts is made or given', { skip }, async (t) => {
  const second = 'config.credentials.api={"provider":"oidc","issuer":"https://idp.example","clientId":"a"}';
  for (const mode of ['gateway', 'sidecar']) {
    for (const kind of ['kubernetes', 'redis', 'file', 'memory']) {
      const args = ['--set-json', second, '--set', `mode=${mode},config.store.kind=${kind},replicaCount=1`];
      if (mode === 'sidecar' && (kind === 'file' || kind === 'memory')) {
        t.match(
          await refusal(chart, '-f', gateway, ...args),
          /credential (api|codex) has the grant/,
          `${mode} ${kind}`,
        );
        continue;
      }
      const objects = await render(chart, '-f', gateway, ...args);
      const kept = objects
        .filter(({ kind }) => kind === 'Secret' || kind === 'Lease')
        .map(({ metadata }) => metadata.name);
      const wanted =
        kind === 'kubernetes'
          ? ['api', 'api-logins', 'api', 'codex', 'codex-logins', 'codex'].map((name) => `app-sidebearer-${name}`)
          : [];
      t.strictSame(kept.sort(), wanted.sort(), `${mode} ${kind}`);
      t.equal(ofKind(objects, 'Role') !== undefined, kind === 'kubernetes', `${mode} ${kind}`);
    }
  }
});

t.test('extra objects are rendered as templates, as text and as objects', { skip }, async (t) => {
  const text = 'kind: ConfigMap\nmetadata: { name: "{{ .Release.Name }}-text" }';
  const object = { kind: 'ConfigMap', metadata: { name: '{{ .Release.Namespace }}-object' } };
  const objects = await render(chart, '-f', gateway, '--set-json', `extraObjects=${JSON.stringify([text, object])}`);
  const names = objects.map(({ metadata }) => metadata.name);
  t.ok(names.includes('app-text') && names.includes('default-object'), names.join());
});

t.test('the registry is the global one, else the image’s; a digest wins over a tag', { skip }, async (t) => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const images: readonly (readonly [string, string])[] = [
    ['image.tag=1.20', 'sidebearer:1.20'],
    ['image.registry=own.example', 'own.example/sidebearer:0.1.0'],
    ['image.registry=own.example,global.imageRegistry=global.example:5000', 'global.example:5000/sidebearer:0.1.0'],
    [`image.tag=1,image.digest=${digest}`, `sidebearer@${digest}`],
  ];
  for (const [setting, image] of images) {
    const deployment = ofKind(await render(chart, '-f', gateway, '--set-string', setting), 'Deployment');
    t.match(deployment, { spec: { template: { spec: { containers: [{ image }] } } } }, setting);
  }
});
