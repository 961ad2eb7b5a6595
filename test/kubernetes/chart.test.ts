// The chart on a real API server: every mode is valid there, what cannot work is refused with the reason, and no way of
// installing it again takes a token out of its Secret.
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { listSettings } from '../../src/config/settings.ts';
import { admin, createNamespace, kubectl, skip, storeRules } from './_cluster.ts';
import { chart, helm, refusal, render, root } from './_helm.ts';

const run = promisify(execFile);
const valueFiles = readdirSync(join(chart, 'ci')).map((name) => join(chart, 'ci', name));
const gateway = join(chart, 'ci/gateway-values.yaml');

/** The example of an application, with the chart in it. */
function createApplication(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-application-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  cpSync(join(root, 'examples/kubernetes/application'), folder, { recursive: true });
  cpSync(chart, join(folder, 'charts/sidebearer'), { recursive: true });
  return folder;
}

for (const file of valueFiles.filter((name) => !basename(name).startsWith('injector'))) {
  t.test(`${basename(file)} is valid for helm and for the API server`, { skip }, async (t) => {
    const namespace = await createNamespace(t);
    t.match(await helm('lint', '--strict', chart, '-f', file), '0 chart(s) failed');
    const objects = await helm('template', 'app', chart, '-n', namespace, '-f', file, '--dry-run=server');
    const folder = mkdtempSync(join(tmpdir(), 'sidebearer-manifest-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const manifest = join(folder, 'all.yaml');
    writeFileSync(manifest, objects);
    const said = await kubectl('apply', '-n', namespace, '--dry-run=server', '--validate=strict', '-f', manifest);
    t.notMatch(said, 'Warning');
    t.match(said, /(configmap|deployment\.apps)\/app-sidebearer created \(server dry run\)/);
  });
}

t.test('everything that may be switched on is valid for the API server', { skip }, async (t) => {
  const namespace = await createNamespace(t);
  const { stdout } = await run('bash', [
    '-c',
    `helm template app ${chart} -n ${namespace} -f ${gateway} --set autoscaling.enabled=true,persistence.existingClaim=c \
      --set image.digest=sha256:${'0'.repeat(64)},image.pullSecrets[0]=pull,priorityClassName=system-cluster-critical \
      --set networkPolicy.scrapers[0].podSelector.matchLabels.a=b,networkPolicy.egress[0].ports[0].port=443 \
      --set commonLabels.team=a,commonAnnotations.note=b,podLabels.c=d,podAnnotations.e=f,nodeSelector.g=h \
      --set tolerations[0].operator=Exists,extraEnv[0].name=HTTPS_PROXY,extraEnv[0].value=http://proxy:3128 \
      | kubectl apply -n ${namespace} --dry-run=server --validate=strict -f -`,
  ]);
  t.match(stdout, /horizontalpodautoscaler.autoscaling\/app-sidebearer created/);
  t.match(stdout, /deployment.apps\/app-sidebearer created/);
});

t.test('the Role grants what the store needs, and nothing else', { skip }, async (t) => {
  const objects = await render(chart, '-f', gateway);
  const roles = objects.filter(({ kind }) => kind === 'Role');
  t.equal(roles.length, 1);
  t.same(roles[0]?.['rules'], storeRules('app-sidebearer-', ['codex']));
  const kept = objects.filter(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy'] === 'keep');
  t.same(kept.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort(), [
    'Lease app-sidebearer-codex',
    'Secret app-sidebearer-codex',
    'Secret app-sidebearer-codex-logins',
  ]);
  t.ok(kept.every((object) => !('data' in object) && !('stringData' in object)));
});

t.test('what cannot work is refused with the reason', { skip }, async (t) => {
  const refusals: readonly (readonly [string, string, RegExp])[] = [
    ['config.store.kind=memory', '', /credential codex .* serves once, and store.kind is memory with 2 replicas/],
    ['config.store.kind=file', '', /serves once, and store.kind is file with 2 replicas/],
    ['config.store.kind=file', 'mode=sidecar,replicaCount=1', /store.kind is file in sidecar mode/],
    ['config.store.kind=file', 'autoscaling.enabled=true,replicaCount=1', /store.kind is file with autoscaling/],
    ['config.credentials.codex.grant=refresh_token', 'config.store.kind=memory', /has the grant refresh_token/],
    ['sealKey.existingSecret=', '', /sealKey.existingSecret is required.*kubectl create secret/],
    ['config.listen.proxy=127.0.0.1:8080', '', /config.listen.proxy is 127.0.0.1:8080: the gateway's Service/],
    ['config.listen.telemetry=unix:/tmp/t', '', /config.listen.telemetry is unix:.*kubelet's probes/],
    ['config.shutdown.maxDrain=${env:DRAIN}', '', /config.shutdown.maxDrain.*set terminationGracePeriodSeconds/],
    ['podMonitor.enabled=true', 'mode=sidecar', /podMonitor.matchLabels is required in sidecar mode/],
    ['replicas=3', '', /the value replicas does not exist \(any more\): use replicaCount/],
    ['existingSecret=key', '', /the value existingSecret does not exist \(any more\): use sealKey.existingSecret/],
    ['replicaCounts=3', '', /additional properties 'replicaCounts' not allowed/],
    ['mode=daemon', '', /value must be one of 'gateway', 'sidecar', 'injector'/],
  ];
  t.match(await refusal(chart), /config.routes and config.credentials are required/);
  for (const [first, second, reason] of refusals) {
    const settings = second === '' ? [] : ['--set', second];
    t.match(await refusal(chart, '-f', gateway, '--set', first, ...settings), reason, `${first} ${second}`);
  }
});

t.test('a grant that rotates nothing, and one replica, need no shared store', { skip }, async (t) => {
  const accepted = [
    'config.store.kind=memory,config.credentials.codex.grant=client_credentials',
    'config.store.kind=file,replicaCount=1',
    'config.store.kind=redis',
  ];
  for (const settings of accepted) {
    const objects = await render(chart, '-f', gateway, '--set', settings);
    t.notOk(
      objects.some(({ kind }) => kind === 'Role' || kind === 'Secret'),
      settings,
    );
  }
});

t.test('a pod has time for its requests and for a redeem', { skip }, async (t) => {
  const graceOf = async (...settings: string[]): Promise<unknown> => {
    const args = settings.flatMap((setting) => ['--set', setting]);
    const objects = await render(chart, '-f', gateway, ...args);
    const deployment = objects.find(({ kind }) => kind === 'Deployment') as
      | { spec: { template: { spec: { terminationGracePeriodSeconds: number } } } }
      | undefined;
    return deployment?.spec.template.spec.terminationGracePeriodSeconds;
  };
  t.equal(await graceOf(), 65);
  t.equal(await graceOf('config.shutdown.maxDrain=2m'), 160);
  t.equal(await graceOf('config.credentials.codex.refresh.timeout=1500ms'), 37);
  t.equal(await graceOf('config.shutdown.minDrain=40s'), 80);
  t.equal(await graceOf('terminationGracePeriodSeconds=7'), 7);
});

t.test('a changed configuration replaces the pods only where a process cannot take it', { skip }, async (t) => {
  const checksumOf = async (...settings: string[]): Promise<unknown> => {
    const args = settings.flatMap((setting) => ['--set', setting]);
    const objects = await render(chart, '-f', gateway, ...args);
    const { spec } = objects.find(({ kind }) => kind === 'Deployment') as unknown as {
      spec: { template: { metadata: { annotations: Record<string, string> } } };
    };
    const { 'checksum/sidebearer': checksum, ...more } = spec.template.metadata.annotations;
    t.match(checksum, /^[0-9a-f]{64}$/);
    t.same(more, {});
    return checksum;
  };
  const first = await checksumOf();
  for (const taken of ['config.routes[0].upstream=https://b', 'sealKey.key=other']) {
    t.equal(await checksumOf(taken), first, taken);
  }
  const others: Readonly<Record<string, string>> = {
    'listen.proxy': '0.0.0.0:81',
    'listen.telemetry': '0.0.0.0:82',
    'store.kind': 'redis',
  };
  const settings = listSettings().filter(({ path }) => /^(listen|store|limits|log|shutdown)\.[^.]+$/.test(path));
  for (const { path, needsRestart } of settings) {
    const changed = await checksumOf(`config.${path}=${others[path] ?? '9s'}`);
    t.equal(changed !== first, needsRestart, path);
  }
  const fixed = listSettings().filter(({ needsRestart }) => needsRestart);
  t.ok(
    fixed.length > 10 && fixed.every(({ path }) => settings.some((setting) => setting.path === path)),
    'none of another section',
  );
  const always = await checksumOf('rollOnConfigChange=true');
  t.not(await checksumOf('rollOnConfigChange=true', 'config.log.level=debug'), always);
});

t.test('monitors and alerts are rendered for the Prometheus operator', { skip }, async (t) => {
  const wanted =
    'podMonitor.enabled=true,podMonitor.labels.release=p,prometheusRule.enabled=true,commonAnnotations.note=a';
  const objects = await render(chart, '-f', gateway, '--set', wanted);
  const rule = objects.find(({ kind }) => kind === 'PrometheusRule');
  t.same(rule?.['spec'], parse(readFileSync(join(chart, 'files/alerts.yaml'), 'utf8')));
  const monitor = objects.find(({ kind }) => kind === 'PodMonitor');
  t.match(monitor, {
    metadata: { labels: { release: 'p' } },
    spec: {
      selector: { matchLabels: { 'app.kubernetes.io/instance': 'app' } },
      podMetricsEndpoints: [{ port: 'sb-telemetry' }],
    },
  });
});

t.test('the dashboard comes as it is, where Grafana’s sidecar finds it', { skip }, async (t) => {
  const wanted = 'dashboard.enabled=true,dashboard.namespace=grafana,dashboard.annotations.grafana_folder=Proxies';
  const objects = await render(chart, '-f', gateway, '--set', wanted, '--set', 'dashboard.labels.team=a');
  const found = objects.find(({ metadata }) => metadata.name === 'app-sidebearer-dashboard');
  t.match(found, {
    kind: 'ConfigMap',
    metadata: {
      namespace: 'grafana',
      labels: { grafana_dashboard: '1', team: 'a' },
      annotations: { grafana_folder: 'Proxies' },
    },
  });
  const { 'sidebearer.json': text = '' } = (found?.['data'] ?? {}) as Record<string, string>;
  t.same(JSON.parse(text), JSON.parse(readFileSync(join(chart, 'files/dashboard.json'), 'utf8')));
});

t.test('the gateway lets nobody in who is not named', { skip }, async (t) => {
  const policyOf = async (...args: string[]): Promise<unknown> =>
    (await render(chart, '-f', gateway, ...args)).find(({ kind }) => kind === 'NetworkPolicy')?.['spec'];
  t.match(await policyOf('--set', 'networkPolicy.clients=null'), { policyTypes: ['Ingress'], ingress: [] });
  t.match(await policyOf(), { ingress: [{ ports: [{ port: 'proxy' }], from: [{ podSelector: {} }] }] });
});

t.test(
  'as a dependency it gives the pod of another chart its sidecar, and may be switched off',
  { skip },
  async (t) => {
    const application = createApplication(t);
    const namespace = await createNamespace(t);
    await admin('PATCH', `/api/v1/namespaces/${namespace}`, {
      metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    });
    const objects = await render(application, '--set', 'global.imageRegistry=registry.internal,global.team=a');
    const deployment = objects.find(({ kind }) => kind === 'Deployment');
    t.match(deployment?.['spec'], {
      template: {
        spec: {
          automountServiceAccountToken: false,
          serviceAccountName: 'app-sidebearer',
          terminationGracePeriodSeconds: 65,
          initContainers: [{ restartPolicy: 'Always', image: 'registry.internal/sidebearer:0.1.0' }],
          containers: [{ name: 'application', volumeMounts: undefined, readinessProbe: { httpGet: { port: 'http' } } }],
        },
      },
    });
    const sidecar = JSON.stringify(
      (deployment as unknown as { spec: { template: { spec: object } } }).spec.template.spec,
    );
    t.notMatch(sidecar, '8080/', 'the proxy has no port that the pod shows');

    // A pod of it, for Pod Security looks at pods.
    const pod = {
      metadata: { name: 'app' },
      spec: (deployment as unknown as { spec: { template: { spec: object } } }).spec.template.spec,
    };
    await admin('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'app-sidebearer' } });
    await admin('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`, pod);

    const without = await render(application, '--set', 'sidebearer.enabled=false');
    t.same(
      without.map(({ kind }) => kind),
      ['Deployment'],
    );
    t.notMatch(JSON.stringify(without), 'sidebearer-');
  },
);

t.test('the gateway’s pods are admitted under Pod Security `restricted`', { skip }, async (t) => {
  const namespace = await createNamespace(t);
  await admin('PATCH', `/api/v1/namespaces/${namespace}`, {
    metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  });
  await admin('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'app-sidebearer' } });
  for (const file of valueFiles.filter((name) => basename(name).startsWith('gateway'))) {
    const deployment = (await render(chart, '-f', file)).find(({ kind }) => kind === 'Deployment') as unknown as {
      spec: { template: { spec: object } };
    };
    const pod = { metadata: { name: 'app' }, spec: deployment.spec.template.spec };
    await admin('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`, pod);
  }
  await t.rejects(
    admin('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, {
      metadata: { name: 'open' },
      spec: { containers: [{ name: 'open', image: 'open' }] },
    }),
    /violates PodSecurity/,
    'and others are not',
  );
});

for (const apply of ['true', 'false']) {
  t.test(`tokens survive upgrades, rollbacks and a new install, server-side apply ${apply}`, { skip }, async (t) => {
    const namespace = await createNamespace(t);
    const secret = `/api/v1/namespaces/${namespace}/secrets/app-sidebearer-codex`;
    const lease = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/app-sidebearer-codex`;
    const data = { 'record.json': Buffer.from('a token').toString('base64') };
    const settings = [chart, '-n', namespace, '-f', gateway, '--set', 'replicaCount=0', `--server-side=${apply}`];
    const isThere = async (when: string): Promise<void> => {
      t.match(await admin('GET', secret), { data }, when);
      t.match(await admin('GET', lease), { spec: { holderIdentity: 'a pod' } }, when);
    };

    const notes = await helm('install', 'app', ...settings);
    t.match(notes, `kubectl -n ${namespace} port-forward deployment/app-sidebearer 1455`);
    t.match(notes, 'openssl rand -base64 32');
    await admin('PATCH', secret, { data });
    await admin('PATCH', lease, { spec: { holderIdentity: 'a pod' } });
    await helm('upgrade', 'app', ...settings, '--set', 'service.port=81,commonLabels.team=a');
    await isThere('upgrade');
    await helm('rollback', 'app', '1', '-n', namespace, `--server-side=${apply}`);
    await isThere('rollback');
    t.match(await helm('uninstall', 'app', '-n', namespace), '[Secret] app-sidebearer-codex');
    await isThere('uninstall');
    await helm('install', 'app', ...settings);
    await isThere('install again');
    await helm('upgrade', 'app', ...settings, '--set', 'config.log.level=debug');
    await isThere('upgrade of that');
    await helm('uninstall', 'app', '-n', namespace);
  });
}

t.test(
  'the plain YAML is what the chart renders, applies twice, and leaves a token where it is',
  { skip },
  async (t) => {
    const namespace = await createNamespace(t);
    await run(process.execPath, [join(root, 'scripts/kubernetes-examples.ts'), '--check']);
    for (const name of ['gateway', 'sidecar']) {
      const file = join(root, `examples/kubernetes/${name}.yaml`);
      await kubectl('apply', '-n', namespace, '--validate=strict', '-f', file);
      const release = name === 'gateway' ? 'sidebearer' : 'application-sidebearer';
      const secret = `/api/v1/namespaces/${namespace}/secrets/${release}-codex`;
      await admin('PATCH', secret, { data: { 'record.json': 'eA==' } });
      await kubectl('apply', '-n', namespace, '--validate=strict', '-f', file);
      t.match(await admin('GET', secret), { data: { 'record.json': 'eA==' } });
      await kubectl('delete', '-n', namespace, 'deployment', '--all', '--wait=false');
    }
  },
);
