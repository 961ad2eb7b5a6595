// The container that is added, and its volumes: what the chart's named templates make (helm/sidebearer/templates/_pod.tpl;
// a test holds the two together). No other container gets the key, a secret or a service-account token by it.
import type { Wishes } from './annotations.ts';

export const containerName = 'sidebearer';
export const accountPath = '/var/run/secrets/kubernetes.io/serviceaccount';

export const defaultPorts = { proxy: 8_080, oauth: 1_455, telemetry: 9_464 } as const;

const volumeNames = { config: 'sidebearer-config', keys: 'sidebearer-key', account: 'sidebearer-account' } as const;
const secretVolumePrefix = 'sidebearer-secret-';

export interface SidecarParts {
  readonly container: Readonly<Record<string, unknown>>;
  readonly volumes: readonly Readonly<Record<string, unknown>>[];
}

export interface SidecarDefaults {
  readonly image: string | undefined;
  readonly imagePullPolicy: string | undefined;
  /** Name of the Secret, or `none`. */
  readonly keysSecret: string;
}

/** Whether a volume of this name is one that we add. */
export function isOurVolume(name: string): boolean {
  return Object.values(volumeNames).some((own) => own === name) || /^sidebearer-secret-\d+$/.test(name);
}

/** The address that the application calls. */
export function proxyUrl({ proxyPort }: Wishes): string {
  return `http://127.0.0.1:${proxyPort ?? defaultPorts.proxy}`;
}

/** Whether a variable's value is one that injection gives. */
export function isProxyUrl(value: unknown): boolean {
  return typeof value === 'string' && /^http:\/\/127\.0\.0\.1:\d{1,5}(?:\/|$)/.test(value);
}

/**
 * @param image of the pod's annotation or the injector's
 * @param withResources false where the pod has resources of its own for all containers together
 */
export function createSidecar(
  wishes: Wishes,
  image: string,
  defaults: SidecarDefaults,
  withResources: boolean,
): SidecarParts {
  const { proxyPort, telemetryPort, logLevel, quit, kind } = wishes;
  const keysSecret = wishes.keysSecret ?? defaults.keysSecret;
  const pullPolicy = wishes.imagePullPolicy ?? defaults.imagePullPolicy;
  const resources = resourcesOf(wishes, withResources);
  const mounts = [
    { name: volumeNames.config, mountPath: '/etc/sidebearer' },
    ...(keysSecret === 'none' ? [] : [{ name: volumeNames.keys, mountPath: '/var/run/secrets/sidebearer' }]),
    ...wishes.secrets.map((name, index) => ({
      name: `${secretVolumePrefix}${index}`,
      mountPath: `/var/run/secrets/${name}`,
    })),
    { name: volumeNames.account, mountPath: accountPath },
  ];
  const container = {
    ...(kind === 'native' && { restartPolicy: 'Always' }),
    name: containerName,
    image,
    ...(pullPolicy !== undefined && { imagePullPolicy: pullPolicy }),
    args: [
      'run',
      '--config',
      '/etc/sidebearer/config.yaml',
      ...(proxyPort === undefined ? [] : ['--listen-proxy', `127.0.0.1:${proxyPort}`]),
      ...(telemetryPort === undefined ? [] : ['--listen-telemetry', `0.0.0.0:${telemetryPort}`]),
      ...(logLevel === undefined ? [] : ['--log-level', logLevel]),
    ],
    ports: [{ name: 'sb-telemetry', containerPort: telemetryPort ?? defaultPorts.telemetry, protocol: 'TCP' }],
    ...(quit && { env: [{ name: 'SIDEBEARER_QUIT', value: 'true' }] }),
    startupProbe: probe('/startupz', { periodSeconds: 1, failureThreshold: 60 }),
    readinessProbe: probe('/readyz', { periodSeconds: 5, failureThreshold: 2 }),
    livenessProbe: probe('/livez', { periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 }),
    ...(resources !== undefined && { resources }),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 65_532,
      runAsGroup: 65_532,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumeMounts: mounts.map((mount) => ({ ...mount, readOnly: true })),
  };
  const volumes = [
    { name: volumeNames.config, configMap: { name: wishes.configMap } },
    ...(keysSecret === 'none' ? [] : [{ name: volumeNames.keys, secret: { secretName: keysSecret } }]),
    ...wishes.secrets.map((secretName, index) => ({ name: `${secretVolumePrefix}${index}`, secret: { secretName } })),
    { name: volumeNames.account, projected: { sources: accountSources() } },
  ];
  return { container, volumes };
}

function probe(path: string, timing: object): object {
  return { httpGet: { path, port: 'sb-telemetry' }, ...timing };
}

/** A token of the pod's service account as kubelet mounts it, in a volume of our own. */
function accountSources(): object[] {
  return [
    { serviceAccountToken: { path: 'token', expirationSeconds: 3_600 } },
    { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
  ];
}

const defaultMemory = {
  request: { text: '64Mi', amount: 64 * 1_048_576 },
  limit: { text: '256Mi', amount: 256 * 1_048_576 },
} as const;

/** A request above its limit is refused by the API server: the default gives way to what is written. */
function resourcesOf(wishes: Wishes, withDefaults: boolean): object | undefined {
  const { cpuRequest, cpuLimit, memoryRequest, memoryLimit } = wishes;
  const requests: Record<string, string> = {};
  const limits: Record<string, string> = {};
  const ownRequest = withDefaults ? defaultMemory.request : undefined;
  const ownLimit = withDefaults ? defaultMemory.limit : undefined;
  const ownCpu = withDefaults ? { text: '20m', amount: 0.02 } : undefined;
  const cpu = cpuRequest ?? lesser(ownCpu, cpuLimit);
  const memory = memoryRequest ?? lesser(ownRequest, memoryLimit);
  const most = memoryLimit ?? greater(ownLimit, memoryRequest);
  if (cpu !== undefined) requests['cpu'] = cpu.text;
  if (memory !== undefined) requests['memory'] = memory.text;
  if (cpuLimit !== undefined) limits['cpu'] = cpuLimit.text;
  if (most !== undefined) limits['memory'] = most.text;
  const isEmpty = Object.keys(requests).length + Object.keys(limits).length === 0;
  if (isEmpty) return undefined;
  return {
    ...(Object.keys(requests).length > 0 && { requests }),
    ...(Object.keys(limits).length > 0 && { limits }),
  };
}

interface Amount {
  readonly text: string;
  readonly amount: number;
}

/** `own` unless the other one is less. */
function lesser(own: Amount | undefined, other: Amount | undefined): Amount | undefined {
  return own !== undefined && other !== undefined && other.amount < own.amount ? other : own;
}

function greater(own: Amount | undefined, other: Amount | undefined): Amount | undefined {
  return own !== undefined && other !== undefined && other.amount > own.amount ? other : own;
}
