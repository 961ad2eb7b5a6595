// Writes examples/kubernetes/*.yaml: the chart's modes as plain YAML, for who has no Helm. Needs helm in PATH.
// With --check it writes nothing and fails where a file is not what the chart renders.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments, visit } from 'yaml';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'examples/kubernetes');
const chart = join(root, 'helm/sidebearer');

/** What tells of Helm, and helps only it. */
const ofHelm = new Set(['helm.sh/chart', 'app.kubernetes.io/managed-by', 'helm.sh/resource-policy']);

function render(...args: string[]): string {
  const text = execFileSync('helm', ['template', ...args], { encoding: 'utf8' });
  const documents = parseAllDocuments(text).filter((document) => 'contents' in document && document.contents !== null);
  for (const document of documents) {
    document.commentBefore = null;
    visit(document, {
      Pair: (_, { key }) => (ofHelm.has(String(key)) ? visit.REMOVE : undefined),
    });
    if (document.getIn(['metadata', 'namespace']) === 'default') document.deleteIn(['metadata', 'namespace']);
  }
  const plain = documents.map((document) =>
    document
      .toString({ lineWidth: 0, flowCollectionPadding: false, directives: false })
      .replaceAll(/^# Source: .*\n/gm, '')
      .trim(),
  );
  return `${plain.join('\n---\n')}\n`;
}

function sidecar(): string {
  const copy = mkdtempSync(join(tmpdir(), 'sidebearer-examples-'));
  try {
    cpSync(join(folder, 'application'), copy, { recursive: true });
    cpSync(chart, join(copy, 'charts/sidebearer'), { recursive: true });
    return render('application', copy);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

const rendered = 'Rendered from helm/sidebearer by scripts/kubernetes-examples.ts.';
const kept =
  '# The Secrets and Leases are empty here, and `kubectl apply` leaves what is in them; `kubectl replace` does not.';
const first = (what: string): string =>
  [
    `# ${what} ${rendered}`,
    '# First: kubectl create secret generic sidebearer-key --from-literal=key="$(openssl rand -base64 32)"',
    kept,
    '# In another namespace than default, name it in the subject of the RoleBinding.',
    '',
  ].join('\n');
const beforeInjector = [
  `# The webhook that adds the sidecar to pods with an annotation (injected.yaml is one). ${rendered}`,
  '# First: kubectl create namespace sidebearer-system; kubectl create namespace team-a',
  '# Its certificate comes from cert-manager. Without that: a Secret sidebearer-tls with tls.crt and tls.key for',
  '# sidebearer.sidebearer-system.svc, its authority as base64 in caBundle, and neither the Certificate nor its annotation.',
  kept,
  '',
].join('\n');
/** cert-manager's in place of a certificate and an authority of one's own. */
const withCertManager = [
  ...['--set', 'injector.tls.existingSecret=,injector.tls.caBundle='],
  ...['--set', 'injector.tls.certManager.enabled=true,injector.tls.certManager.issuerRef.name=cluster-authority'],
  ...['--set', 'injector.tls.certManager.issuerRef.kind=ClusterIssuer'],
];
const files = {
  'gateway.yaml':
    first('Sidebearer as a Deployment behind a Service.') +
    render('sidebearer', chart, '-f', join(chart, 'ci/gateway-values.yaml')),
  'injector.yaml':
    beforeInjector +
    render(
      'sidebearer',
      chart,
      '-n',
      'sidebearer-system',
      '-f',
      join(chart, 'ci/injector-values.yaml'),
      ...withCertManager,
    ),
  'sidecar.yaml': first('An application with Sidebearer as a native sidecar in its pod.') + sidecar(),
};

const isCheck = process.argv.includes('--check');
for (const [name, text] of Object.entries(files)) {
  const path = join(folder, name);
  if (!isCheck) writeFileSync(path, text);
  else if (readFileSync(path, 'utf8') !== text) {
    console.error(`examples/kubernetes/${name} is not what the chart renders: node scripts/kubernetes-examples.ts`);
    process.exitCode = 1;
  }
}
