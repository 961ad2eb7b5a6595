// The real Kubernetes that run.sh has started: what tests ask of it, by kubectl and as a pod's service account would.
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
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

const rbac = (namespace: string): string => `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;

/** A service account with these rights, as the folder that kubelet would mount. @param name of account and Role */
export async function createAccount(
  t: Scope,
  namespace: string,
  rules: readonly Rule[],
  name = `account-${randomUUID()}`,
): Promise<string> {
  const metadata = { name };
  await admin('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata });
  await admin('POST', `${rbac(namespace)}/roles`, { metadata, rules });
  await admin('POST', `${rbac(namespace)}/rolebindings`, {
    metadata,
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
  });
  return mountAccount(t, namespace, name, rules);
}

/** Other rights for an account that is there. */
export async function changeRules(namespace: string, name: string, rules: readonly Rule[]): Promise<void> {
  await admin('PATCH', `${rbac(namespace)}/roles/${name}`, { rules });
}

/** The folder that kubelet would mount, once the account has these rights. */
export async function mountAccount(t: Scope, namespace: string, name: string, rules: readonly Rule[]): Promise<string> {
  await allowed(`system:serviceaccount:${namespace}:${name}`, namespace, rules);
  const token = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
  const { status } = (await admin('POST', token, {})) as { status: { token: string } };
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

/** What an API server gets to end its requests, ms. */
const GRACE_MS = 3_000;

/**
 * Ends the API server, as a crash would or as an upgrade does, and starts it again as it was.
 * @param whileDown what happens in between
 */
export async function restartApiServer(
  whileDown: () => Promise<void>,
  signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL',
): Promise<void> {
  const pidFile = join(work ?? '', 'kube-apiserver.pid');
  const pid = Number(readFileSync(pidFile, 'utf8'));
  const [command = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  process.kill(pid, signal);
  try {
    // In its own time it would wait a minute for watches that nobody ends.
    const forcing = setTimeout(() => isRunning(pid) && process.kill(pid, 'SIGKILL'), GRACE_MS);
    while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
    clearTimeout(forcing);
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

/** What has ended and was not yet waited for has no command line. */
function isRunning(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}
