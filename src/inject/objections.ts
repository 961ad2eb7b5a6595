// What speaks against a sidecar in a pod: reasons not to add one, and warnings beside one that is added. Each is a
// sentence for whoever created the pod, and short: the API server cuts a warning at 256 characters.
import { nearest } from '../config/nearest.ts';
import { prefix, type Wishes } from './annotations.ts';
import { type Fields, fieldOf, fieldsOf, listOf, nameOf, type PodParts, shown } from './pod-data.ts';
import { accountPath, containerName, defaultPorts, isOurVolume } from './sidecar-container.ts';

/** Why none can be added; undefined: nothing speaks against it. */
export function findObjection(parts: PodParts, wishes: Wishes): string | undefined {
  const { spec, containers, initContainers, volumes } = parts;
  if ([...containers, ...initContainers].some((each) => nameOf(each) === containerName)) {
    return `it has a container named ${containerName} already`;
  }
  if (fieldOf(spec, 'hostNetwork') === true) {
    return 'it uses the network of its node (hostNetwork): every such pod there could use the proxy';
  }
  const os = fieldOf(fieldOf(spec, 'os'), 'name') ?? fieldOf(fieldOf(spec, 'nodeSelector'), 'kubernetes.io/os');
  if (os === 'windows') return 'it is for Windows, and the image of the sidecar is not';
  const taken = volumes.map(nameOf).find(isOurVolume);
  if (taken !== undefined) return `it has a volume named ${taken} already`;
  return findPortConflict(parts, wishes);
}

function findPortConflict({ containers, initContainers }: PodParts, wishes: Wishes): string | undefined {
  const proxyPort = wishes.proxyPort ?? defaultPorts.proxy;
  const telemetryPort = wishes.telemetryPort ?? defaultPorts.telemetry;
  if (proxyPort === telemetryPort) return `${prefix}proxy-port and telemetry-port are the same`;
  const holders = portHolders([...containers, ...initContainers]);
  for (const [port, annotation] of [
    [proxyPort, 'proxy-port'],
    [telemetryPort, 'telemetry-port'],
  ] as const) {
    const holder = holders.get(port);
    if (holder !== undefined) {
      return `container ${shown(holder)} declares port ${port}, which is the sidecar's: set ${prefix}${annotation} to another one`;
    }
  }
  return undefined;
}

/** What works, and is probably not meant. */
export function findCautions(parts: PodParts, wishes: Wishes, stage: 'admission' | 'manifest'): string[] {
  const { spec, containers, initContainers } = parts;
  const all = [...containers, ...initContainers];
  const told: string[] = [];
  const holder = portHolders(all).get(defaultPorts.oauth);
  if (holder !== undefined) {
    told.push(
      `container ${shown(holder)} declares port ${defaultPorts.oauth}, where the sidecar serves logins: move listen.oauth in the configuration`,
    );
  }
  told.push(...accountCaution(spec, all, stage));
  if (fieldOf(spec, 'shareProcessNamespace') === true || fieldOf(spec, 'hostPID') === true) {
    told.push(
      'containers see the processes of the sidecar (shareProcessNamespace, hostPID): as its user they read its key',
    );
  }
  const restart = fieldOf(spec, 'restartPolicy') ?? 'Always';
  if (wishes.kind === 'container' && restart !== 'Always' && !wishes.quit) {
    told.push(`the sidecar keeps this pod from completing: set ${prefix}quit to "true", or ${prefix}sidecar to native`);
  }
  const names = all.map(nameOf);
  for (const name of wishes.containers ?? []) {
    if (names.includes(name)) continue;
    const meant = nearest(name, names);
    const hint = meant === undefined ? '' : ` (did you mean ${shown(meant)}?)`;
    told.push(`${prefix}containers names ${name}, which this pod does not have${hint}`);
  }
  return told;
}

/** Whoever has a token of the service account reads the store's Secrets as the sidecar does; docs/injection.md. */
function accountCaution(spec: Fields, containers: readonly Fields[], stage: 'admission' | 'manifest'): string[] {
  const what =
    'a service-account token, with which it can read the sealed tokens: set automountServiceAccountToken: false';
  const mounting = containers.filter((container) =>
    listOf(fieldOf(container, 'volumeMounts')).some((mount) => {
      const path = fieldOf(mount, 'mountPath');
      return typeof path === 'string' && path.replace(/\/+$/, '') === accountPath;
    }),
  );
  const [first] = mounting;
  if (first !== undefined) {
    const others = mounting.length === 1 ? '' : ` (and ${mounting.length - 1} more)`;
    return [`container ${shown(nameOf(first))}${others} mounts ${what}`];
  }
  // A file does not tell what the service account says; in admission the mounts are there already.
  const mayMount = stage === 'manifest' && fieldOf(spec, 'automountServiceAccountToken') !== false;
  return mayMount ? [`each container may be given ${what}`] : [];
}

/** TCP ports that containers declare, with the first that does. */
function portHolders(containers: readonly Fields[]): Map<unknown, string> {
  const holders = new Map<unknown, string>();
  for (const container of containers) {
    for (const declared of listOf(fieldOf(container, 'ports'))) {
      const { containerPort, protocol = 'TCP' } = fieldsOf(declared);
      if (protocol === 'TCP' && !holders.has(containerPort)) holders.set(containerPort, nameOf(container));
    }
  }
  return holders;
}
