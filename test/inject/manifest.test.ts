// Files: what is injected, and what stays byte for byte.
import fc from 'fast-check';
import t from 'tap';
import { parseAllDocuments, stringify } from 'yaml';
import { editManifest } from '../../src/inject/manifest.ts';
import { injectPod } from '../../src/inject/pod-injection.ts';
import { removeSidecar } from '../../src/inject/pod-removal.ts';
import type { FoundPod } from '../../src/inject/workload.ts';
import { options } from './_pods.ts';

const inject = (text: string): string =>
  editManifest(text, ({ pod }) => {
    const { outcome, edits } = injectPod(pod, { ...options, stage: 'manifest' });
    return outcome === 'injected' ? edits : [];
  });
const uninject = (text: string): string =>
  editManifest(text, ({ pod }) => {
    const removal = removeSidecar(pod);
    return removal.outcome === 'removed' ? removal.edits : [];
  });

const deployment = `# The shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop # of the web
spec:
  template:
    metadata:
      labels: { app: shop }
      annotations:
        # Who pays for it.
        team: "blue"
        sidebearer.dev/inject: shop-config
        sidebearer.dev/env: API_URL
    spec:
      # One is enough.
      containers:
        - name: shop
          image: 'shop:1' # pinned

          args: [serve, --port=3000]
          env:
            - name: MODE
              value: >-
                folded text
                of two lines
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 90
`;

t.test('what is not touched stays as it is written: comments, quotes, blank lines, order', (t) => {
  const injected = inject(deployment);
  const lines = new Set(injected.split('\n'));
  t.strictSame(
    deployment.split('\n').filter((line) => !lines.has(line)),
    [],
  );
  t.match(injected, /annotations:\n {8}# Who pays for it\.\n/);
  t.match(injected, /env:\n {12}- name: API_URL\n {14}value: http:\/\/127\.0\.0\.1:8080\n {12}- name: MODE\n/);
  t.match(injected, /initContainers:\n {8}- restartPolicy: Always\n {10}name: sidebearer\n/);
  t.equal(uninject(injected), deployment, 'and there and back is no change at all');
  t.equal(inject(injected), injected, 'once is enough');
  t.end();
});

t.test('documents without a pod that asks are the same bytes, however they are written', (t) => {
  const odd = '%YAML 1.2\n---\na:   {b:    1}   # odd\n\n\nc: [1,2 ,3]\n...\n';
  const plain = "---\nkind: Service\nmetadata:   {name: 'x'}\n";
  const text = `${odd}${plain}---\n${deployment}---\n# only a comment\n---\nkind: Deployment\nspec: 1\n`;
  const injected = inject(text);
  t.ok(injected.startsWith(odd + plain));
  t.ok(injected.endsWith('---\n# only a comment\n---\nkind: Deployment\nspec: 1\n'));
  t.match(injected, /---\n# The shop\.\napiVersion/);
  t.equal(uninject(injected), text);
  for (const same of [
    '',
    '\n',
    '# nothing\n',
    odd,
    plain,
    '{"kind":"Pod"}',
    '{"kind":  "Pod", "n": 12345678901234567890}\n\n',
    '{}',
    '[]',
    '7',
    'text\n',
    '\u{feff}a: 1\n',
  ]) {
    t.equal(inject(same), same, JSON.stringify(same));
  }
  t.end();
});

t.test('the manner of the file is kept: columns of lists, four spaces, tight braces, CRLF, a byte order mark', (t) => {
  const columns = deployment.replace(/^ {8}- name: shop\n( {10}.*\n|\n| {12}.*\n| {14}.*\n| {16}.*\n)*/m, (block) =>
    block.replace(/^ {2}/gm, '').replace(/^( {10}) {2}(- name: MODE| {2}value| {4})/gm, '$1$2'),
  );
  const four = `kind: Pod
metadata:
    name: p
    annotations:
        sidebearer.dev/inject: c
spec:
    containers:
    -   name: app
        resources: {limits: {memory: 1Gi}}
`;
  t.match(inject(four), /^ {8}resources: \{limits: \{memory: 1Gi\}\}$/m);
  t.match(inject(four), /^ {4}name: p$/m);
  t.match(inject(columns), /initContainers:\n {6}- restartPolicy/);
  const crlf = `\u{feff}${deployment.replaceAll('\n', '\r\n')}`;
  const injected = inject(crlf);
  t.ok(injected.startsWith('\u{feff}# The shop.\r\n'));
  t.notMatch(injected, /[^\r]\n/);
  t.equal(uninject(injected), crlf);
  t.end();
});

t.test('a comment above an entry stays with it, and a file without a last line end loses nothing', (t) => {
  const commented = deployment.replace(
    '            - name: MODE',
    '            # Fast or slow.\n            - name: MODE',
  );
  const injected = inject(commented);
  t.match(injected, / {12}# Fast or slow\.\n {12}- name: MODE\n/);
  t.equal(uninject(injected), commented);
  const open = deployment.trimEnd();
  t.ok(inject(open).startsWith('# The shop.\n'));
  t.match(inject(open), /image: 'shop:1' # pinned\n\n/);
  t.end();
});

t.test('in flow collections the comments, the order and the ends of lines stay', (t) => {
  const flow = [
    '# The shop.',
    'kind: Pod # one',
    'metadata: { annotations: { sidebearer.dev/inject: c } }',
    "spec: { containers: [{ name: 'a' }] } # here",
    '',
  ].join('\r\n');
  const injected = inject(flow);
  t.match(injected, /^# The shop\.\r\nkind: Pod # one\r\nmetadata:/);
  t.match(injected, /# here\r\n/);
  t.notMatch(injected, /[^\r]\n/);
  t.end();
});

t.test('an alias beside the edits costs no comment', (t) => {
  const text = `# The shop.
kind: Pod
metadata: { annotations: { sidebearer.dev/inject: c, sidebearer.dev/env: URL } }
spec:
  containers:
    - name: a
      env: &env [{ name: A, value: b }] # for both
    - name: b
      env: *env
`;
  const injected = inject(text);
  t.match(injected, /^# The shop\./);
  t.match(injected, /# for both/);
  const [{ spec }] = parseAllDocuments(injected).map((document) => document.toJS());
  t.strictSame(
    spec.containers.map(({ env }: { env: { name: string }[] }) => env.map(({ name }) => name)),
    [
      ['URL', 'A'],
      ['URL', 'A'],
    ],
  );
  t.end();
});

t.test('a file above 64 MiB is not read', (t) => {
  t.throws(() => inject(`${' '.repeat(64 * 1_048_576)}{`), {
    code: 'manifest_unusable',
    message: /larger than 64 MiB/,
  });
  t.end();
});

t.test('JSON stays JSON', (t) => {
  const pod = {
    kind: 'Pod',
    metadata: { annotations: { 'sidebearer.dev/inject': 'c' } },
    spec: { containers: [{ name: 'a' }] },
  };
  for (const indent of [undefined, 2, 4, '\t']) {
    const text = `${JSON.stringify({ kind: 'List', items: [pod, { kind: 'Service' }] }, null, indent)}\n`;
    const injected = inject(text);
    t.match(JSON.parse(injected).items[0].spec.initContainers, [{ name: 'sidebearer' }]);
    t.equal(uninject(injected), text);
  }
  t.end();
});

t.test('every kind of workload', (t) => {
  const pod = { metadata: { annotations: { 'sidebearer.dev/inject': 'c' } }, spec: { containers: [{ name: 'a' }] } };
  const found: string[] = [];
  const tell = (each: FoundPod): [] => {
    found.push(`${each.name} ${each.path.join('.')}`);
    return [];
  };
  const metadata = { name: 'x' };
  const kinds = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job', 'ReplicationController'];
  const objects = [
    { kind: 'Pod', ...pod },
    ...kinds.map((kind) => ({ kind, metadata, spec: { template: pod } })),
    { kind: 'CronJob', metadata, spec: { jobTemplate: { spec: { template: pod } } } },
    { kind: 'PodTemplate', metadata, template: pod },
    { kind: 'DeploymentList', items: [{ kind: 'Deployment', metadata, spec: { template: pod } }] },
    { kind: 'List', items: [{ kind: 'List', items: [{ kind: 'List', items: [{ kind: 'Pod', ...pod }] }] }] },
    { kind: 'Rollout', metadata, spec: { template: pod } },
    { kind: 'List', items: 'none' },
    { kind: 'toString' },
  ];
  for (const object of objects) {
    const text = stringify(object);
    editManifest(text, tell);
    if (found.length > 0) t.equal(uninject(inject(text)), text);
  }
  t.strictSame(found, [
    'Pod ',
    ...kinds.map((kind) => `${kind} x spec.template`),
    'CronJob x spec.jobTemplate.spec.template',
    'PodTemplate x template',
    'Deployment x items.0.spec.template',
  ]);
  t.end();
});

t.test('anchors: what stands for another does not change with it', (t) => {
  const text = `kind: List
items:
  - kind: Pod
    metadata: { name: a, annotations: { sidebearer.dev/inject: c, sidebearer.dev/env: URL, sidebearer.dev/containers: one } }
    spec:
      containers:
        - &base
          name: one
          env: &env
            - { name: A, value: b }
        - { name: two, env: *env }
        - <<: *base
          name: three
  - kind: Pod
    metadata: { name: b, annotations: &asked { sidebearer.dev/inject: c, sidebearer.dev/env: URL } }
    spec: &spec
      containers: [{ name: x }]
  - kind: Pod
    metadata: { name: c, annotations: *asked }
    spec: *spec
  - kind: Pod
    metadata: { name: d }
    spec: *spec
`;
  const [before] = parseAllDocuments(text, { merge: true }).map((document) => document.toJS());
  const [after] = parseAllDocuments(inject(text), { merge: true }).map((document) => document.toJS());
  const envs = after.items[0].spec.containers.map(({ env }: { env: unknown[] }) => env.length);
  t.strictSame(envs, [2, 1, 1]);
  t.match(after.items[1].spec.initContainers, [{ name: 'sidebearer' }]);
  t.match(after.items[2].spec.initContainers, [{ name: 'sidebearer' }]);
  t.strictSame(after.items[3], before.items[3]);
  const [back] = parseAllDocuments(uninject(inject(text)), { merge: true }).map((document) => document.toJS());
  t.strictSame(back, before);
  t.end();
});

t.test('a merge key in the way costs the comments, never the data', (t) => {
  const text = `kind: Pod
base: &base
  metadata: { annotations: { sidebearer.dev/inject: c } }
  spec: { containers: [{ name: a }] }
<<: *base
`;
  const [after] = parseAllDocuments(inject(text), { merge: true }).map((document) => document.toJS());
  t.match(after.spec.initContainers, [{ name: 'sidebearer' }]);
  t.notOk('initContainers' in after.base.spec);
  t.end();
});

t.test('what is no YAML, or cannot be followed, is told with its line and without a word of it', (t) => {
  const bomb = `a: &a [x]\n${[...'bcdefghijk'].map((name, i) => `${name}: &${name} [${`*${'abcdefghij'[i]}, `.repeat(9)}]\n`).join('')}`;
  for (const [text, reason] of [
    ['kind: Pod\nspec: {secret: [}\n', /line 2 is not valid YAML/],
    ['a: 1\na: 2\n', /line 2/],
    ['a: *nowhere\n', /not valid YAML|cannot be followed/],
    [bomb, /aliases cannot be followed/],
  ] as const) {
    t.throws(() => inject(text), { code: 'manifest_unusable', message: reason });
  }
  t.end();
});

t.test('there and back is identity on the data, for any workload and any manner', (t) => {
  const scalar = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constantFrom('yes', '08', '~', '- a', '#', 'a: b', '\n', ' '),
  );
  const name = fc.stringMatching(/^[a-z]{2,8}$/);
  const container = fc.record(
    {
      name,
      image: scalar,
      args: fc.array(scalar, { minLength: 1 }),
      env: fc.array(fc.record({ name, value: scalar }), { minLength: 1 }),
    },
    { requiredKeys: ['name'] },
  );
  const workload = fc
    .record({
      kind: fc.constantFrom('Deployment', 'Job', 'Service'),
      extra: fc.dictionary(fc.string(), scalar, { maxKeys: 3 }),
      containers: fc.uniqueArray(container, { minLength: 1, maxLength: 3, selector: (each) => each.name }),
    })
    .map(({ kind, extra, containers }) => ({
      kind,
      metadata: extra,
      spec: {
        template: {
          metadata: { annotations: { ...extra, 'sidebearer.dev/inject': 'c', 'sidebearer.dev/env': 'URL,OTHER=/v1' } },
          spec: { containers },
        },
      },
    }));
  const manner = fc.record({
    indentSeq: fc.boolean(),
    indent: fc.constantFrom(2, 4),
    collectionStyle: fc.constantFrom('any' as const, 'block' as const, 'flow' as const),
    defaultStringType: fc.constantFrom('PLAIN' as const, 'QUOTE_DOUBLE' as const, 'QUOTE_SINGLE' as const),
  });
  const dataOf = (text: string): unknown[] => parseAllDocuments(text).map((document) => document.toJS());
  fc.assert(
    fc.property(fc.array(workload, { minLength: 1, maxLength: 3 }), manner, (objects, how) => {
      const text = objects.map((object) => stringify(object, how)).join('---\n');
      const injected = inject(text);
      const count = injected.match(/sidebearer-account/g)?.length ?? 0;
      const asking = objects.filter(({ kind }) => kind !== 'Service').length;
      t.equal(count, asking * 2);
      t.strictSame(dataOf(uninject(injected)), dataOf(text));
    }),
    { numRuns: 300 },
  );
  t.end();
});
