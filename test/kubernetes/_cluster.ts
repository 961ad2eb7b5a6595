// The real Kubernetes that run.sh has started: what tests ask of it, by kubectl and as a pod's service account would.
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';

const run = promisify(execFile);

const work = process.env['SIDEBEARER_KUBERNETES'];
/** For `t.test`: why there is none, or false. */
export const skip =
  work !== undefined
    ? false
    : (process.env['SIDEBEARER_KUBERNETES_MISSING'] ?? 'no Kubernetes: npm run test:kubernetes');

/** What kubelet puts into every container. */
export const podEnv = { KUBERNETES_SERVICE_HOST: '203.0.113.1', KUBERNETES_SERVICE_PORT: '443' };

/** kubectl as the cluster's admin; resolves with its standard output. */
export async function kubectl(...args: string[]): Promise<string> {
  return (await run('kubectl', args, { maxBuffer: 16 * 1024 * 1024 })).stdout;
}

let agent: Agent | undefined;

/** One call to the API server as its admin: a process for each would cost more than the tests. */
export async function admin(
  method: 'POST' | 'PATCH' | 'GET' | 'DELETE',
  path: string,
  body?: object,
): Promise<unknown> {
  agent ??= new Agent({ connect: { rejectUnauthorized: false } });
  const answer = await request(`https://127.0.0.1:443${path}`, {
    dispatcher: agent,
    method,
    headers: {
      authorization: 'Bearer admin-token',
      'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
  return JSON.parse(text);
}

/** A test, or a file of tests. */
export interface Scope {
  teardown(end: () => unknown): void;
}

let count = 0;

/** A namespace of its own, gone with the test. */
export async function createNamespace(t: Scope): Promise<string> {
  count += 1;
  const name = `test-${process.pid}-${count}`;
  await admin('POST', '/api/v1/namespaces', { metadata: { name } });
  t.teardown(() => admin('DELETE', `/api/v1/namespaces/${name}`));
  return name;
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** What the store needs for these credentials, as the chart's Role grants it. */
export function storeRules(prefix: string, credentials: readonly string[]): Rule[] {
  const names = credentials.map((credential) => prefix + credential);
  const secrets = names.flatMap((name) => [name, `${name}-logins`]);
  return [
    { apiGroups: [''], resources: ['secrets'], resourceNames: secrets, verbs: ['get', 'watch', 'update'] },
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], resourceNames: names, verbs: ['get', 'update'] },
  ];
}

/** Empty objects, as the chart makes them. */
export async function createStoreObjects(
  namespace: string,
  prefix: string,
  credentials: readonly string[],
): Promise<void> {
  const secrets = `/api/v1/namespaces/${namespace}/secrets`;
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  for (const credential of credentials) {
    const name = prefix + credential;
    await admin('POST', secrets, { metadata: { name } });
    await admin('POST', secrets, { metadata: { name: `${name}-logins` } });
    await admin('POST', leases, { metadata: { name } });
  }
}

/** A service account with these rights, as the folder that kubelet would mount. */
export async function createAccount(t: Scope, namespace: string, rules: readonly Rule[]): Promise<string> {
  count += 1;
  const metadata = { name: `account-${count}` };
  const { name } = metadata;
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await admin('POST', accounts, { metadata });
  await admin('POST', `${rbac}/roles`, { metadata, rules });
  await admin('POST', `${rbac}/rolebindings`, {
    metadata,
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
  });
  await allowed(`system:serviceaccount:${namespace}:${name}`, namespace, rules);
  const { status } = (await admin('POST', `${accounts}/${name}/token`, {})) as { status: { token: string } };
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-account-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'namespace'), namespace);
  writeFileSync(join(folder, 'ca.crt'), await readFile(join(work ?? '', 'certs', 'apiserver.crt')));
  writeFileSync(join(folder, 'token'), status.token);
  return folder;
}

/** The authorizer hears of a new binding a moment later. */
async function allowed(user: string, namespace: string, rules: readonly Rule[]): Promise<void> {
  for (const { apiGroups, resources, resourceNames, verbs } of rules) {
    const resourceAttributes = {
      namespace,
      group: apiGroups[0],
      resource: resources[0],
      verb: verbs[0],
      name: resourceNames?.[0],
    };
    for (let round = 0; round < 200; round += 1) {
      const review = (await admin('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
        spec: { user, resourceAttributes },
      })) as { status: { allowed: boolean } };
      if (review.status.allowed) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/**
 * Kills the API server as a crash would, and starts it again as it was.
 * @param whileDown what happens in between
 */
export async function restartApiServer(whileDown: () => Promise<void>): Promise<void> {
  const pidFile = join(work ?? '', 'kube-apiserver.pid');
  const pid = Number(readFileSync(pidFile, 'utf8'));
  const [command = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  process.kill(pid, 'SIGKILL');
  try {
    await whileDown();
  } finally {
    const log = openSync(join(work ?? '', 'kube-apiserver.log'), 'a');
    const child = spawn(command, args, { cwd: work, detached: true, stdio: ['ignore', log, log] });
    child.unref();
    writeFileSync(pidFile, String(child.pid));
    for (let round = 0; round < 300; round += 1) {
      const isReady = await admin('GET', '/readyz').then(
        () => true,
        (error: Error) => error instanceof SyntaxError,
      );
      if (isReady) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
