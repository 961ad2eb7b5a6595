// One pod each: what is added, what is refused and in which words, and what is left alone.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { injectPod } from '../../src/inject/pod-injection.ts';
import { inject, options, podWith, sidecarOf, statusOf, type TestPod } from './_pods.ts';

const envOf = (pod: TestPod, name: string): unknown =>
  [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find((each) => each.name === name)?.env;

t.test('the container and its volumes are those of the chart', (t) => {
  const file = join(import.meta.dirname, '..', '..', 'examples', 'kubernetes', 'sidecar.yaml');
  const charted = parseAllDocuments(readFileSync(file, 'utf8'))
    .map((document) => document.toJS())
    .find(({ kind }) => kind === 'Deployment').spec.template.spec;
  const pod = podWith({ inject: 'application-sidebearer', 'keys-secret': 'sidebearer-key' });
  const { outcome, pod: injected } = inject(pod, { image: 'sidebearer:0.1.0', imagePullPolicy: 'IfNotPresent' });
  t.equal(outcome, 'injected');
  t.strictSame(injected.spec.initContainers, charted.initContainers);
  t.strictSame(injected.spec.volumes, charted.volumes);
  t.equal(injected.spec.terminationGracePeriodSeconds, charted.terminationGracePeriodSeconds);
  t.end();
});

t.test('the status says what was done', (t) => {
  const pod = podWith({ env: 'API_URL' });
  t.strictSame(statusOf(inject(pod).pod), {
    version: '0.1.0',
    injected: true,
    container: 'sidebearer',
    env: { app: ['API_URL'] },
    graceSeconds: 30,
  });
  t.strictSame(inject(pod).warnings, []);
  t.end();
});

t.test('a pod that does not ask is not touched', (t) => {
  for (const pod of [
    { metadata: {}, spec: { containers: [{ name: 'app' }] } },
    { metadata: { annotations: { other: 'x', 'linkerd.io/inject': 'x' } }, spec: { containers: [] } },
    podWith({ inject: 'false' }),
    podWith({ inject: '' }),
    podWith({ inject: 'false', injct: 'x', 'proxy-port': 'y' }),
    null,
    'pod',
    [],
    {},
    { metadata: { annotations: 7 } },
    // A mirror of a static pod: the API server lets it have neither secrets nor a service account.
    { ...podWith(), metadata: { annotations: { 'sidebearer.dev/inject': 'c', 'kubernetes.io/config.mirror': 'h' } } },
  ]) {
    t.strictSame(injectPod(pod, options), { outcome: 'untouched', edits: [], warnings: [] }, JSON.stringify(pod));
  }
  t.end();
});

t.test('what looks as if it meant to ask is named, and the pod not touched', (t) => {
  const cases: readonly (readonly [Record<string, string>, Record<string, string>, RegExp])[] = [
    [
      { 'sidebearer.dev/injct': 'c' },
      {},
      /sidebearer\.dev\/injct is not known \(did you mean sidebearer\.dev\/inject\?\)/,
    ],
    [
      { 'sidebearer.io/inject': 'c' },
      {},
      /sidebearer\.io\/inject is not known \(did you mean sidebearer\.dev\/inject\?\)/,
    ],
    [{ 'sidecarbearer.dev/inject': 'c' }, {}, /did you mean sidebearer\.dev\/inject/],
    [{ 'sidebearer.dev/zzzzzzzz': 'c' }, {}, /sidebearer\.dev\/zzzzzzzz is not known$/],
    [{}, { 'sidebearer.dev/inject': 'c' }, /sidebearer\.dev\/inject is a label here/],
  ];
  for (const [annotations, labels, warning] of cases) {
    const { outcome, edits, warnings } = inject({ ...podWith(), metadata: { annotations, labels } });
    t.strictSame([outcome, edits, warnings.length], ['untouched', [], 1]);
    t.match(warnings[0], warning);
  }
  t.end();
});

t.test('a misspelt annotation beside a good one is named, and the pod is injected', (t) => {
  const { outcome, warnings, pod } = inject(podWith({ 'log-levl': 'debug', 'proxy-prot': '1' }));
  t.equal(outcome, 'injected');
  t.strictSame(warnings, [
    'the annotation sidebearer.dev/log-levl is not known (did you mean sidebearer.dev/log-level?)',
    'the annotation sidebearer.dev/proxy-prot is not known (did you mean sidebearer.dev/proxy-port?)',
  ]);
  t.strictSame(statusOf(pod)?.['warnings'], warnings);
  t.end();
});

t.test('variables are set in front of the others, in every container and in init containers that end', (t) => {
  const { pod, warnings } = inject(
    podWith(
      { env: 'OPENAI_BASE_URL, OTHER_URL=/v1' },
      {
        containers: [
          { name: 'app', env: [{ name: 'FULL', value: '$(OPENAI_BASE_URL)/x' }] },
          { name: 'worker', env: [{ name: 'OTHER_URL', value: 'http://elsewhere' }] },
          { name: 'same', restartPolicy: 'Always', env: [{ name: 'OTHER_URL', value: 'http://127.0.0.1:8080/v1' }] },
        ],
        initContainers: [{ name: 'migrate' }, { name: 'mesh', restartPolicy: 'Always' }],
      },
    ),
  );
  const ours = [
    { name: 'OPENAI_BASE_URL', value: 'http://127.0.0.1:8080' },
    { name: 'OTHER_URL', value: 'http://127.0.0.1:8080/v1' },
  ];
  t.strictSame(envOf(pod, 'app'), [...ours, { name: 'FULL', value: '$(OPENAI_BASE_URL)/x' }]);
  t.strictSame(envOf(pod, 'worker'), [ours[0], { name: 'OTHER_URL', value: 'http://elsewhere' }]);
  t.strictSame(envOf(pod, 'same'), ours);
  t.strictSame(envOf(pod, 'migrate'), ours);
  t.equal(envOf(pod, 'mesh'), undefined, 'another sidecar is not the application');
  t.equal(envOf(pod, 'sidebearer'), undefined);
  t.strictSame(warnings, ['container worker sets OTHER_URL itself: it is left as it is']);
  t.strictSame(
    pod.spec.initContainers?.map(({ name }) => name),
    ['sidebearer', 'migrate', 'mesh'],
    'the sidecar is first, so that the others have it',
  );
  t.end();
});

t.test('containers: only those that are named get the variables, and a name that is not there is told', (t) => {
  const containers = [{ name: 'app' }, { name: 'worker' }];
  const initContainers = [{ name: 'mesh', restartPolicy: 'Always' }];
  const { pod, warnings } = inject(
    podWith({ env: 'URL', containers: 'worker,mesh,wrker' }, { containers, initContainers }),
  );
  t.equal(envOf(pod, 'app'), undefined);
  t.match(envOf(pod, 'worker'), [{ name: 'URL' }]);
  t.match(envOf(pod, 'mesh'), [{ name: 'URL' }]);
  t.strictSame(warnings, [
    'sidebearer.dev/containers names wrker, which this pod does not have (did you mean worker?)',
  ]);
  t.end();
});

t.test('overrides', (t) => {
  const { pod } = inject(
    podWith({
      env: 'URL',
      image: 'other:2',
      'image-pull-policy': 'Never',
      'log-level': 'debug',
      'cpu-request': '100m',
      'cpu-limit': '1',
      'memory-request': '100Mi',
      'memory-limit': '1Gi',
      'proxy-port': '18080',
      'telemetry-port': '19464',
      'keys-secret': 'none',
      secrets: 'client-secret,ca.example',
      quit: 'true',
      'termination-grace-seconds': '0',
    }),
    { imagePullPolicy: 'Always' },
  );
  t.match(sidecarOf(pod), {
    image: 'other:2',
    imagePullPolicy: 'Never',
    args: [
      'run',
      '--config',
      '/etc/sidebearer/config.yaml',
      '--listen-proxy',
      '127.0.0.1:18080',
      '--listen-telemetry',
      '0.0.0.0:19464',
      '--log-level',
      'debug',
    ],
    env: [{ name: 'SIDEBEARER_QUIT', value: 'true' }],
    ports: [{ name: 'sb-telemetry', containerPort: 19464 }],
    resources: { requests: { cpu: '100m', memory: '100Mi' }, limits: { cpu: '1', memory: '1Gi' } },
    volumeMounts: [
      { name: 'sidebearer-config', mountPath: '/etc/sidebearer', readOnly: true },
      { name: 'sidebearer-secret-0', mountPath: '/var/run/secrets/client-secret', readOnly: true },
      { name: 'sidebearer-secret-1', mountPath: '/var/run/secrets/ca.example', readOnly: true },
      { name: 'sidebearer-account', readOnly: true },
    ],
  });
  t.match(envOf(pod, 'app'), [{ name: 'URL', value: 'http://127.0.0.1:18080' }]);
  t.equal(pod.spec.terminationGracePeriodSeconds, 30);
  t.equal(statusOf(pod)?.['graceSeconds'], undefined);
  t.end();
});

t.test('sidecar: container is an ordinary container, and init containers have no proxy yet', (t) => {
  const annotations = { sidecar: 'container', env: 'URL' };
  const { pod, warnings } = inject(
    podWith(annotations, { restartPolicy: 'Never', initContainers: [{ name: 'init' }] }),
  );
  t.strictSame(
    pod.spec.containers.map(({ name }) => name),
    ['app', 'sidebearer'],
  );
  t.equal(sidecarOf(pod)?.restartPolicy, undefined);
  t.equal(envOf(pod, 'init'), undefined);
  t.match(warnings, [/keeps this pod from completing: set sidebearer\.dev\/quit/]);
  t.strictSame(inject(podWith({ ...annotations, quit: 'true' }, { restartPolicy: 'Never' })).warnings, []);
  t.match(inject(podWith(annotations, { restartPolicy: 'OnFailure' })).warnings, [/keeps this pod from completing/]);
  for (const spec of [{}, { restartPolicy: 'Always' }]) t.strictSame(inject(podWith(annotations, spec)).warnings, []);
  t.end();
});

t.test('requests above their limits, which the API server refuses, are never made', (t) => {
  const resources = (annotations: Record<string, string>): unknown =>
    sidecarOf(inject(podWith(annotations)).pod)?.['resources'];
  t.strictSame(resources({ 'memory-limit': '32Mi', 'cpu-limit': '10m' }), {
    requests: { cpu: '10m', memory: '32Mi' },
    limits: { cpu: '10m', memory: '32Mi' },
  });
  t.match(resources({ 'memory-request': '1Gi' }), { requests: { memory: '1Gi' }, limits: { memory: '1Gi' } });
  t.end();
});

t.test('a pod with resources for all containers together gets no other ones unless it names them', (t) => {
  const spec = { resources: { limits: { cpu: '1', memory: '1Gi' } } };
  t.equal(sidecarOf(inject(podWith({}, spec)).pod)?.['resources'], undefined);
  t.strictSame(sidecarOf(inject(podWith({ 'memory-limit': '100Mi' }, spec)).pod)?.['resources'], {
    limits: { memory: '100Mi' },
  });
  t.end();
});

t.test('a shorter time to end is raised, a longer one stays', (t) => {
  const grace = (seconds: number | undefined, annotations = {}): unknown[] => {
    const pod = podWith(annotations);
    if (seconds === undefined) delete pod.spec.terminationGracePeriodSeconds;
    else pod.spec.terminationGracePeriodSeconds = seconds;
    const { pod: injected } = inject(pod);
    return [injected.spec.terminationGracePeriodSeconds, statusOf(injected)?.['graceSeconds']];
  };
  t.strictSame(grace(30), [65, 30]);
  t.strictSame(grace(undefined), [65, null]);
  t.strictSame(grace(0), [65, 0]);
  t.strictSame(grace(65), [65, undefined]);
  t.strictSame(grace(300), [300, undefined]);
  t.strictSame(grace(100, { 'termination-grace-seconds': '120' }), [120, 100]);
  t.end();
});

t.test('what cannot work is refused, in words and in the status, and nothing else of the pod changes', (t) => {
  const container = (name: string, containerPort: number, protocol?: string) => ({
    name,
    ports: [{ containerPort, ...(protocol !== undefined && { protocol }) }],
  });
  const cases: readonly (readonly [TestPod, RegExp])[] = [
    [podWith({}, { hostNetwork: true }), /network of its node/],
    [podWith({}, { os: { name: 'windows' } }), /Windows/],
    [podWith({}, { nodeSelector: { 'kubernetes.io/os': 'windows' } }), /Windows/],
    [podWith({}, { containers: [{ name: 'sidebearer' }] }), /a container named sidebearer already/],
    [podWith({}, { initContainers: [{ name: 'sidebearer' }] }), /a container named sidebearer already/],
    [podWith({}, { volumes: [{ name: 'sidebearer-config' }] }), /volume named sidebearer-config already/],
    [podWith({}, { volumes: [{ name: 'sidebearer-secret-3' }] }), /volume named sidebearer-secret-3 already/],
    [podWith({}, { containers: [container('app', 8080)] }), /app declares port 8080.*set sidebearer\.dev\/proxy-port/],
    [podWith({}, { containers: [container('app', 9464, 'TCP')] }), /9464.*set sidebearer\.dev\/telemetry-port/],
    [podWith({}, { initContainers: [container('mesh', 8080)] }), /container mesh declares port 8080/],
    [podWith({ 'proxy-port': '9090' }, { containers: [container('app', 9090)] }), /declares port 9090/],
    [podWith({ 'proxy-port': '9464' }), /proxy-port and telemetry-port are the same/],
    [podWith({}, { containers: [] }), /it has no containers/],
    [podWith({}, { containers: [{} as never] }), /spec\.containers is not a list of objects with names/],
    [podWith({}, { initContainers: {} as never }), /spec\.initContainers is not a list/],
    [
      podWith({}, { containers: [{ name: 'app', env: ['x'] as never }] }),
      /env of container app is not a list of objects/,
    ],
    [{ metadata: podWith().metadata } as TestPod, /it has no spec/],
  ];
  for (const [pod, reason] of cases) {
    const injection = inject(pod);
    t.equal(injection.outcome, 'refused', String(reason));
    t.match(injection.warnings, [reason]);
    t.match(injection.warnings[0], /^not injected: /);
    t.match(statusOf(injection.pod), { injected: false, reason });
    delete injection.pod.metadata.annotations?.['sidebearer.dev/status'];
    t.strictSame(injection.pod, pod);
  }
  t.end();
});

t.test('ports of another protocol, or out of the way, are no conflict; the one of logins is a warning', (t) => {
  const ports = (...list: { containerPort: number; protocol?: string }[]) => ({
    containers: [{ name: 'app', ports: list }],
  });
  t.equal(inject(podWith({}, ports({ containerPort: 8080, protocol: 'UDP' }))).outcome, 'injected');
  t.equal(inject(podWith({ 'proxy-port': '18080' }, ports({ containerPort: 8080 }))).outcome, 'injected');
  t.match(inject(podWith({}, ports({ containerPort: 1455 }))), {
    outcome: 'injected',
    warnings: [/app declares port 1455.*move listen\.oauth/],
  });
  const initContainers = [{ name: 'mesh', ports: [{ containerPort: 1455 }] }];
  t.match(inject(podWith({}, { initContainers })).warnings, [/container mesh declares port 1455/]);
  const two = ['first', 'second'].map((name) => ({ name, ports: [{ containerPort: 1455 }] }));
  t.match(inject(podWith({}, { containers: two })).warnings, [/container first declares/]);
  t.end();
});

t.test('a value that cannot be used is named by what it takes, and never repeated', (t) => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['inject', ['true', 'Not_A_Name', 'a b', '-a', 'a..b', 'x'.repeat(254)], /inject is not the name of a ConfigMap/],
    [
      'env',
      [
        `${Array.from({ length: 51 }, (_, at) => `U${at}`)}`,
        '1URL',
        'URL=v1',
        'URL=/$(X)',
        'URL=/a b',
        'A,,B',
        ',',
        'A,A=/x',
        'A="x"',
      ],
      /env is not a list such as/,
    ],
    ['containers', ['App', 'a,,b', 'a/b', 'a,a'], /containers is not a list of names/],
    ['image', ['a image', '-x', 'a'.repeat(600), 'é'], /image is not an image/],
    ['image-pull-policy', ['always', 'Sometimes'], /not Always, IfNotPresent or Never/],
    ['log-level', ['loud', 'DEBUG'], /log-level is not one of trace, debug/],
    ['cpu-request', ['0', '0m', '-1', '1.5m', '1Gi', '1e3', 'x'], /not an amount of CPU/],
    ['memory-limit', ['0', '64MB', '-1Mi', '1.5Gi', 'x'], /not an amount of memory/],
    ['proxy-port', ['0', '65536', '80a', '-1', '1e3', '08'], /not a port from 1 to 65535/],
    ['telemetry-port', ['0', '99999'], /not a port/],
    ['keys-secret', ['A', '../x'], /not the name of a Secret/],
    ['secrets', ['sidebearer', 'kubernetes.io', 'a,a', 'A', 'a/../b', '..'], /not a list of names of Secrets/],
    ['sidecar', ['init', 'Native'], /not native or container/],
    ['quit', ['yes', '1', 'TRUE'], /not true or false/],
    ['termination-grace-seconds', ['-1', '1m', '86401', '1.5'], /not a number of seconds/],
  ];
  for (const [name, wrong, message] of cases) {
    for (const value of wrong) {
      const { outcome, warnings } = inject(podWith({ [name]: value }));
      t.equal(outcome, 'refused', `${name}: ${value}`);
      t.match(warnings, [message], value);
      if (value.length > 5 && name !== 'secrets' && name !== 'sidecar') t.notOk(warnings[0]?.includes(value), value);
    }
  }
  for (const [what, more, less] of [
    ['cpu', '1', '900m'],
    ['cpu', '0.5', '499m'],
    ['memory', '1Gi', '1000Mi'],
    ['memory', '1Gi', '1G'],
    ['memory', '1G', '999M'],
    ['memory', '1M', '999k'],
    ['memory', '1Ki', '1k'],
    ['memory', '1k', '999'],
  ] as const) {
    const both = (request: string, limit: string) =>
      inject(podWith({ [`${what}-request`]: request, [`${what}-limit`]: limit }));
    t.match(both(more, less).warnings, [new RegExp(`${what}-request is more than sidebearer.dev/${what}-limit`)]);
    t.equal(both(less, more).outcome, 'injected');
    t.equal(both(more, more).outcome, 'injected');
  }
  t.match(inject(podWith(), { image: undefined }).warnings, [/no image is named: set sidebearer\.dev\/image/]);
  t.end();
});

t.test('every mistake is told at once, and what is misspelt with them', (t) => {
  const { warnings, pod } = inject(podWith({ 'proxy-port': 'x', quit: 'y', 'log-levle': 'debug' }));
  t.match(warnings, [/^not injected: .*proxy-port/, /^not injected: .*quit/, /log-levle is not known/]);
  t.match(statusOf(pod), { injected: false, reason: /proxy-port.*; .*quit/, warnings: [/log-levle is not known/] });
  t.end();
});

t.test('a value is taken without the spaces around it, and a list with a comma at its end', (t) => {
  const { outcome, pod } = inject(podWith({ inject: ' config ', env: ' URL , OTHER, ' }));
  t.equal(outcome, 'injected');
  t.match(pod.spec.volumes, [{ name: 'sidebearer-config', configMap: { name: 'config' } }]);
  t.strictSame(statusOf(pod)?.['env'], { app: ['URL', 'OTHER'] });
  t.end();
});

t.test('the status does not grow with what is told', (t) => {
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`zzzzzzzz${at}`, 'x']));
  const { warnings, pod } = inject(podWith(many));
  t.equal(warnings.length, 30);
  t.equal((statusOf(pod)?.['warnings'] as string[]).length, 10);
  t.end();
});

t.test('keys-secret: none is neither mounted nor a volume', (t) => {
  const { pod } = inject(podWith({ 'keys-secret': 'none' }));
  t.strictSame(
    pod.spec.volumes?.map(({ name }) => name),
    ['sidebearer-config', 'sidebearer-account'],
  );
  t.end();
});

t.test('a second look at an injected pod changes nothing and says nothing', (t) => {
  const { pod } = inject(podWith({ env: 'URL' }));
  const { outcome, edits, warnings } = inject(pod);
  t.strictSame([outcome, edits, warnings], ['already', [], []]);
  t.end();
});

t.test('a status without its container is told; the one of a refusal is no obstacle', (t) => {
  const refusal = (pod: TestPod) => {
    const { outcome, edits, warnings } = inject(pod);
    t.strictSame([outcome, edits, warnings.length], ['refused', [], 1]);
    return warnings[0];
  };
  t.match(refusal(podWith({ status: '{"version":"0.1.0","injected":true}' })), /remove that annotation/);
  t.match(refusal(podWith({ status: 'scribble' })), /remove that annotation/);
  const { pod: refused } = inject(podWith({ quit: 'y' }));
  t.match(refusal(refused), /quit is not true or false/, 'and the same status is not written again');
  const annotations = { ...refused.metadata.annotations, 'sidebearer.dev/quit': 'true' };
  const { outcome, pod, warnings } = inject({ ...refused, metadata: { annotations } });
  t.equal(outcome, 'injected');
  t.strictSame(warnings, [], 'our own annotation is none that is misspelt');
  t.match(statusOf(pod), { injected: true });
  t.end();
});

t.test('a service-account token in the application is told', (t) => {
  const mounted = (name: string, mountPath: string) => ({
    name,
    volumeMounts: [{ name: 'kube-api-access-x', mountPath }],
  });
  const path = '/var/run/secrets/kubernetes.io/serviceaccount';
  const spec = { containers: [mounted('app', path), mounted('other', `${path}/`), mounted('third', '/data')] };
  t.match(inject(podWith({}, spec)).warnings, [/container app \(and 1 more\) mounts a service-account token/]);
  const automounted = podWith({}, { automountServiceAccountToken: true });
  t.strictSame(inject(automounted).warnings, [], 'in admission the mounts tell');
  t.match(inject(automounted, { stage: 'manifest' }).warnings, [/may be given a service-account token/]);
  t.strictSame(inject(podWith(), { stage: 'manifest' }).warnings, []);
  t.end();
});

t.test('containers that see the sidecar as a process are told', (t) => {
  t.match(inject(podWith({}, { shareProcessNamespace: true })).warnings, [/read its key/]);
  t.match(inject(podWith({}, { hostPID: true })).warnings, [/read its key/]);
  t.end();
});

t.test('annotations that leave no room for a status are not made too large', (t) => {
  const pod = podWith();
  pod.metadata.annotations = { ...pod.metadata.annotations, big: 'x'.repeat(262_144 - 60) };
  const { outcome, edits, warnings } = inject(pod);
  t.strictSame([outcome, edits], ['refused', []]);
  t.match(warnings, [/no room for a status/]);
  t.end();
});

t.test('nothing foreign reaches a warning as it is', (t) => {
  const nasty = `a\r\nx: y\u{1f600}${'z'.repeat(300)}`;
  const pod = podWith(
    { env: 'URL', [nasty]: 'x' },
    {
      containers: [{ name: nasty, env: [{ name: 'URL', value: 'other' }], ports: [{ containerPort: 1455 }] }],
    },
  );
  const { outcome, warnings } = inject(pod);
  t.equal(outcome, 'injected');
  t.equal(warnings.length, 3);
  for (const warning of warnings) {
    t.match(warning, /^[\x20-\x7e]+$/);
    t.ok(warning.length <= 250);
  }
  t.end();
});
