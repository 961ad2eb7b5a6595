// The chart's injector mode on a real API server: valid there, without a right of its own, asked about no pod that does
// not ask, and never installed with a certificate that cannot work. injector.test.ts has the webhook itself.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { parse, stringify } from 'yaml';
import { admin, createNamespace, kubectl, skip, storeRules } from './_cluster.ts';
import { chart, helm, type Manifest, readManifests, refusal, render, root } from './_helm.ts';

const run = promisify(execFile);
const values = join(chart, 'ci/injector-values.yaml');
const certManager = 'injector.tls.existingSecret=,injector.tls.caBundle=,injector.tls.certManager.enabled=true';
const issuer = 'injector.tls.certManager.issuerRef.name=authority';

const ofKind = (objects: readonly Manifest[], kind: string): Manifest[] => objects.filter((each) => each.kind === kind);

interface WebhookConfiguration {
  readonly webhooks: readonly [
    {
      readonly matchConditions: readonly { readonly name: string; readonly expression: string }[];
      readonly [key: string]: unknown;
    },
  ];
}

async function webhookOf(...args: string[]): Promise<WebhookConfiguration['webhooks'][0]> {
  const [configuration] = ofKind(await render(chart, '-f', values, ...args), 'MutatingWebhookConfiguration');
  return (configuration as unknown as WebhookConfiguration).webhooks[0];
}

/** Each goes to the namespace that it names. */
async function dryRun(t: Test, objects: readonly Manifest[]): Promise<string> {
  const file = join(t.testdir(), 'all.yaml');
  writeFileSync(file, objects.map((each) => stringify(each)).join('---\n'));
  return kubectl('apply', '--dry-run=server', '--validate=strict', '-f', file);
}

t.test('injector-values.yaml is valid for helm and for the API server', { skip }, async (t) => {
  const namespace = await createNamespace(t);
  const team = await createNamespace(t);
  const given = [
    '-f',
    values,
    '--set',
    `injector.namespaces[0].name=${team},injector.namespaces[0].credentials[0]=codex`,
  ];
  t.match(await helm('lint', '--strict', chart, ...given), '0 chart(s) failed');
  const objects = readManifests(await helm('template', 'app', chart, '-n', namespace, ...given, '--dry-run=server'));
  const said = await dryRun(t, objects);
  t.notMatch(said, 'Warning');
  for (const made of [
    'mutatingwebhookconfiguration.admissionregistration.k8s.io/app-sidebearer',
    'deployment.apps/app-sidebearer',
    'role.rbac.authorization.k8s.io/app-sidebearer-injected',
  ]) {
    t.ok(said.includes(`${made} created (server dry run)`), made);
  }
});

t.test('its pods are admitted under Pod Security `restricted`, and have no token', { skip }, async (t) => {
  const namespace = await createNamespace(t);
  await admin('PATCH', `/api/v1/namespaces/${namespace}`, {
    metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  });
  await admin('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'app-sidebearer' } });
  const [deployment] = ofKind(await render(chart, '-f', values), 'Deployment');
  const { spec } = (deployment as unknown as { spec: { template: { spec: object } } }).spec.template;
  t.match(spec, { automountServiceAccountToken: false, volumes: [{ secret: { secretName: 'sidebearer-webhook' } }] });
  t.notMatch(JSON.stringify(spec), /serviceAccountToken|kube-root-ca/);
  const pod = { metadata: { name: 'app' }, spec };
  await admin('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`, pod);
});

t.test('the webhook has no right; each namespace gives its pods exactly their objects', { skip }, async (t) => {
  const team = 'injector.namespaces[1].name=team-b,injector.namespaces[1].credentials={one,two}';
  const more = 'injector.namespaces[1].serviceAccounts={web,worker},injector.namespaces[1].secretPrefix=tokens-';
  const objects = await render(
    chart,
    '-f',
    values,
    '--set',
    `injector.namespaces[0].name=team-a,${team}`,
    '--set',
    `injector.namespaces[0].credentials={codex},${more}`,
  );
  t.same(ofKind(objects, 'ClusterRole'), []);
  t.same(
    ofKind(objects, 'Role').map(({ metadata, rules }) => [metadata.namespace, rules]),
    [
      ['team-a', storeRules('sidebearer-', ['codex'])],
      ['team-b', storeRules('tokens-', ['one', 'two'])],
    ],
  );
  t.same(
    ofKind(objects, 'RoleBinding').map(({ subjects }) => subjects),
    [
      [{ kind: 'ServiceAccount', name: 'default', namespace: 'team-a' }],
      [
        { kind: 'ServiceAccount', name: 'web', namespace: 'team-b' },
        { kind: 'ServiceAccount', name: 'worker', namespace: 'team-b' },
      ],
    ],
  );
  const kept = objects.filter(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy'] === 'keep');
  t.same(kept.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`).sort(), [
    'Lease team-a/sidebearer-codex',
    'Lease team-b/tokens-one',
    'Lease team-b/tokens-two',
    'Secret team-a/sidebearer-codex',
    'Secret team-a/sidebearer-codex-logins',
    'Secret team-b/tokens-one',
    'Secret team-b/tokens-one-logins',
    'Secret team-b/tokens-two',
    'Secret team-b/tokens-two-logins',
  ]);
  t.ok(kept.every((object) => !('data' in object) && !('stringData' in object)));
  t.same(
    objects.flatMap(({ kind, metadata }) =>
      /ConfigMap|Secret/.test(kind) && !kept.some((each) => each.metadata === metadata) ? [metadata.name] : [],
    ),
    [],
  );
  const without = await render(chart, '-f', values, '--set', 'rbac.create=false,storeObjects.create=false');
  t.notOk(without.some(({ kind }) => /Role|Secret|Lease/.test(kind)));
});

t.test('what is set is what the API server does', { skip }, async (t) => {
  t.match(await webhookOf(), {
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Ignore',
    timeoutSeconds: 5,
    reinvocationPolicy: 'IfNeeded',
    rules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'], scope: 'Namespaced' }],
    namespaceSelector: {
      matchExpressions: [
        {
          key: 'kubernetes.io/metadata.name',
          operator: 'NotIn',
          values: ['kube-system', 'kube-node-lease', 'kube-public', 'default'],
        },
      ],
    },
    clientConfig: { service: { name: 'app-sidebearer', namespace: 'default', port: 443 } },
  });
  const selectors = 'injector.namespaceSelector.matchLabels.team=a,injector.objectSelector.matchLabels.b=c';
  const rest = 'injector.failurePolicy=Fail,injector.timeoutSeconds=2,injector.reinvocationPolicy=Never';
  const changed = await webhookOf(
    '--set',
    `${selectors},${rest},injector.excludedNamespaces={kube-system}`,
    '--set',
    'injector.url=https://198.51.100.1:9443/mutate',
  );
  t.match(changed, {
    failurePolicy: 'Fail',
    timeoutSeconds: 2,
    reinvocationPolicy: 'Never',
    namespaceSelector: { matchExpressions: [{ values: ['kube-system', 'default'] }], matchLabels: { team: 'a' } },
    objectSelector: { matchLabels: { b: 'c' } },
    clientConfig: { url: 'https://198.51.100.1:9443/mutate', service: undefined },
  });
});

t.test('the authority of the certificate may be PEM or base64 of it', { skip }, async (t) => {
  const pem = (parse(readFileSync(values, 'utf8')) as { injector: { tls: { caBundle: string } } }).injector.tls
    .caBundle;
  const encoded = Buffer.from(pem).toString('base64');
  t.match(await webhookOf(), { clientConfig: { caBundle: encoded } });
  t.match(await webhookOf('--set', `injector.tls.caBundle=${encoded}`), { clientConfig: { caBundle: encoded } });
});

t.test('cert-manager makes the certificate and tells its authority', { skip }, async (t) => {
  const objects = await render(chart, '-n', 'there', '-f', values, '--set', `${certManager},${issuer}`);
  const [certificate] = ofKind(objects, 'Certificate');
  t.match(certificate, {
    metadata: { name: 'app-sidebearer', namespace: 'there' },
    spec: {
      secretName: 'app-sidebearer-tls',
      dnsNames: ['app-sidebearer.there.svc', 'app-sidebearer.there.svc.cluster.local'],
      issuerRef: { name: 'authority', kind: 'Issuer', group: 'cert-manager.io' },
    },
  });
  const [configuration] = ofKind(objects, 'MutatingWebhookConfiguration');
  t.match(configuration?.metadata.annotations, { 'cert-manager.io/inject-ca-from': 'there/app-sidebearer' });
  t.notMatch(JSON.stringify(configuration), 'caBundle');
  t.match(JSON.stringify(ofKind(objects, 'Deployment')), '"secretName":"app-sidebearer-tls"');
});

t.test(
  'a pod that does not ask waits for no webhook, and one that does is refused while none answers',
  { skip },
  async (t) => {
    const namespace = await createNamespace(t);
    await admin('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'default' } }).catch(
      () => {},
    );
    const name = `webhook-${namespace}`;
    const webhook = await webhookOf(
      ...['--set', `injector.failurePolicy=Fail,injector.timeoutSeconds=1,injector.url=https://127.0.0.1:9/`],
      ...['--set', `injector.namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=${namespace}`],
    );
    const configurations = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
    await admin('POST', configurations, { metadata: { name }, webhooks: [webhook] });
    t.teardown(() => admin('DELETE', `${configurations}/${name}`));
    const create = (metadata: object): Promise<unknown> =>
      admin('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, {
        metadata: { generateName: 'pod-', ...metadata },
        spec: { containers: [{ name: 'one', image: 'one' }] },
      });
    const asks = { annotations: { 'sidebearer.dev/inject': 'codex' } };
    // A new configuration is heard of a moment later.
    let isHeard = false;
    for (let round = 0; round < 100 && !isHeard; round += 1) {
      isHeard = await create(asks).then(
        () => false,
        (error: Error) => error.message.includes('failed calling webhook'),
      );
      if (!isHeard) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    t.ok(isHeard, 'the webhook is asked about a pod with the annotation');
    await t.rejects(
      create({ annotations: { 'sidebearer.dev/injekt': 'codex' } }),
      /failed calling webhook/,
      'misspelt',
    );
    await t.rejects(
      create({ annotations: { 'sidebaerer.dev/inject': 'codex' } }),
      /failed calling webhook/,
      'misspelt',
    );
    await t.rejects(create({ labels: { 'sidebearer.dev/inject': 'codex' } }), /failed calling webhook/, 'as a label');
    await create({});
    await create({ annotations: { 'sidecar.istio.io/inject': 'true' }, labels: { app: 'a' } });
    await create({ labels: { 'sidebearer.dev/client': 'true' } });
  },
);

t.test('only the API server’s port is open, and nothing is called', { skip }, async (t) => {
  const policyOf = async (...args: string[]): Promise<unknown> =>
    ofKind(await render(chart, '-f', values, ...args), 'NetworkPolicy')[0]?.['spec'];
  t.match(await policyOf(), {
    policyTypes: ['Ingress', 'Egress'],
    ingress: [
      { ports: [{ port: 'webhook' }], from: undefined },
      { ports: [{ port: 'sb-telemetry' }], from: [{}] },
    ],
    egress: [],
  });
  t.match(await policyOf('--set', 'injector.apiServers[0].ipBlock.cidr=198.51.100.1/32'), {
    ingress: [{ ports: [{ port: 'webhook' }], from: [{ ipBlock: { cidr: '198.51.100.1/32' } }] }, {}],
  });
});

t.test('what cannot work is refused with the reason', { skip }, async (t) => {
  const refusals: readonly (readonly [string, RegExp])[] = [
    [
      'injector.tls.existingSecret=',
      /set injector.tls.existingSecret \(a Secret with .* for app-sidebearer.default.svc\)/,
    ],
    ['injector.tls.caBundle=', /and injector.tls.caBundle .*, or injector.tls.certManager.enabled/],
    [
      `injector.tls.certManager.enabled=true,${issuer}`,
      /certManager makes the certificate .*: leave injector.tls.existingSecret/,
    ],
    [certManager, /injector.tls.certManager.issuerRef.name is required/],
    ['config.log.level=debug', /config has no meaning in injector mode: .*sidebearer.dev\/inject names/],
    ['injector.failurePolicy=Abort', /value must be one of 'Ignore', 'Fail'/],
    ['injector.timeoutSeconds=31', /maximum: got 31, want 30/],
    ['injector.url=http://webhook', /does not match pattern/],
    ['injector.namespaces[1].name=team-b', /missing property 'credentials'/],
    ['injector.enabled=true', /additional properties 'enabled' not allowed/],
  ];
  for (const [settings, reason] of refusals)
    t.match(await refusal(chart, '-f', values, '--set', settings), reason, settings);
});

t.test('the monitor finds every sidecar, whatever the labels of its pod', { skip }, async (t) => {
  const [monitor] = ofKind(await render(chart, '-f', values, '--set', 'podMonitor.enabled=true'), 'PodMonitor');
  t.same(monitor?.['spec'], {
    selector: {},
    namespaceSelector: { any: true },
    podMetricsEndpoints: [{ port: 'sb-telemetry', path: '/metrics', interval: '30s' }],
  });
});

t.test('the notes tell how a pod asks, and what each namespace still needs', { skip }, async (t) => {
  const notes = await helm('install', 'app', chart, '-f', values, '--dry-run=client');
  t.match(notes, 'sidebearer.dev/inject: CONFIGMAP');
  t.match(notes, 'kubectl -n team-a create secret generic sidebearer-keys --from-literal=key=');
  t.match(notes, 'kubectl -n team-a port-forward POD 1455');
  const alone = await helm(
    'install',
    'app',
    chart,
    '-f',
    values,
    '--set',
    'injector.namespaces=null',
    '--dry-run=client',
  );
  t.match(alone, 'No namespace has the Secrets that keep tokens yet');
});

t.test(
  'the plain YAML is valid for the API server, and its pods get their Secrets by the names they use',
  { skip },
  async (t) => {
    await run(process.execPath, [join(root, 'scripts/kubernetes-examples.ts'), '--check']);
    const [system, team] = [await createNamespace(t), await createNamespace(t)];
    const read = (name: string): Manifest[] => {
      const text = readFileSync(join(root, 'examples/kubernetes', name), 'utf8');
      return readManifests(text.replaceAll('sidebearer-system', system).replaceAll('team-a', team));
    };
    const injector = read('injector.yaml');
    const application = read('injected.yaml');
    // cert-manager's is no API of Kubernetes itself.
    const objects = injector.filter(({ kind }) => kind !== 'Certificate');
    t.equal(objects.length, injector.length - 1);
    t.match(await dryRun(t, [...objects, ...application]), 'created (server dry run)');

    const deployment = application.find(({ kind }) => kind === 'Deployment') as unknown as {
      spec: { template: { metadata: { annotations: Record<string, string> } } };
    };
    const name = deployment.spec.template.metadata.annotations['sidebearer.dev/inject'];
    const map = application.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name) as unknown as {
      data: { 'config.yaml': string };
    };
    const config = parse(map.data['config.yaml']) as { credentials: object };
    const secrets = ofKind(objects, 'Secret').map(({ metadata }) => metadata.name);
    for (const credential of Object.keys(config.credentials)) t.ok(secrets.includes(`sidebearer-${credential}`));
    const file = join(t.testdir(), 'config.yaml');
    writeFileSync(file, map.data['config.yaml']);
    await run(process.execPath, [join(root, 'src/main.ts'), 'check', '--no-references', '--config', file]);
  },
);
