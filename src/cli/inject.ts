// `sidebearer inject`: the admission webhook until it is told to end, or the same of a file. Only the webhook loads
// what listens.
import { readDuration } from '../config/units.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import * as values from '../inject/annotation-values.ts';
import { isWanted } from '../inject/annotations.ts';
import { fieldOf, fieldsOf } from '../inject/pod-data.ts';
import { type Injection, injectPod } from '../inject/pod-injection.ts';
import type { SidecarDefaults } from '../inject/sidecar-container.ts';
import type { FoundPod } from '../inject/workload.ts';
import { type ListenAddress, parseListenAddress } from '../listen.ts';
import type { Invocation } from './command.ts';
import { readManifest, writeManifest } from './manifest-file.ts';
import { waitForSignal } from './signals.ts';
import { buildInfo } from './version.ts';

export async function inject(invocation: Invocation): Promise<number> {
  const sidecar: SidecarDefaults = {
    image: read(invocation, 'image', values.image, 'an image'),
    imagePullPolicy: read(invocation, 'image-pull-policy', values.pullPolicy, 'Always, IfNotPresent or Never'),
    keysSecret:
      read(invocation, 'keys-secret', values.objectName, 'the name of a Secret, or none') ?? 'sidebearer-keys',
  };
  return invocation.flags.has('file') ? injectFile(invocation, sidecar) : serve(invocation, sidecar);
}

async function serve(invocation: Invocation, sidecar: SidecarDefaults): Promise<number> {
  const { startInjector } = await import('../injector.ts');
  const ended = waitForSignal();
  const injector = await startInjector({
    listen: read(invocation, 'listen', parseListenAddress, 'an address such as 0.0.0.0:9443') ?? everywhere(9_443),
    telemetry:
      read(invocation, 'telemetry', parseListenAddress, 'an address such as 0.0.0.0:9464') ?? everywhere(9_464),
    tls: { cert: required(invocation, 'tls-cert'), key: required(invocation, 'tls-key') },
    sidecar: { ...sidecar, image: required(invocation, 'image') },
    logLevel: read(invocation, 'log-level', readLogLevel, `one of ${values.logLevels.join(', ')}`) ?? 'info',
    minDrainMs: read(invocation, 'min-drain', readDuration, 'a duration such as 5s') ?? 5_000,
    version: buildInfo().version,
  });
  await ended;
  await injector.stop();
  return 0;
}

async function injectFile(invocation: Invocation, sidecar: SidecarDefaults): Promise<number> {
  const { err } = invocation;
  const { version } = buildInfo();
  const outcomes = new Set<Injection['outcome']>();
  const text = await readManifest(invocation);
  await writeManifest(invocation, text, (found) => {
    const injection = injectPod(found.pod, { ...sidecar, version, stage: 'manifest' });
    outcomes.add(injection.outcome);
    for (const warning of [...injection.warnings, ...misplaced(found)]) err(`${found.name}: ${warning}`);
    if (injection.outcome === 'already' && injection.warnings.length === 0) err(`${found.name}: ${injection.reason}`);
    // A status that says no would only stand in the way of whoever corrects the file.
    return injection.outcome === 'injected' ? injection.edits : [];
  });
  if (outcomes.has('refused')) return 1;
  if (outcomes.has('injected') || outcomes.has('already')) return 0;
  err('No pod asks for a sidecar: the annotation sidebearer.dev/inject names the ConfigMap with its configuration.');
  return 1;
}

/** The one mistake that everybody makes once. */
function misplaced({ pod, workload }: FoundPod): string[] {
  const annotationsOf = (object: unknown) => fieldsOf(fieldOf(fieldOf(object, 'metadata'), 'annotations'));
  if (workload === undefined || !isWanted(annotationsOf(workload)) || isWanted(annotationsOf(pod))) return [];
  return [
    'sidebearer.dev/inject is on the workload, and does nothing there: it belongs to the annotations of its pod template',
  ];
}

const everywhere = (port: number): ListenAddress => ({ host: '0.0.0.0', port });

function readLogLevel(text: string): (typeof values.logLevels)[number] | undefined {
  return values.logLevels.find((level) => level === text);
}

/** @throws usage_invalid */
function read<T>(
  { flags }: Invocation,
  name: string,
  reader: (text: string) => T | undefined,
  form: string,
): T | undefined {
  const given = flags.get(name);
  if (given === undefined) return undefined;
  const value = reader(given.value);
  if (value === undefined) throw new SidebearerError('usage_invalid', { reason: `${given.source} is not ${form}` });
  return value;
}

/** @throws usage_invalid */
function required({ flags }: Invocation, name: string): string {
  const given = flags.get(name)?.value;
  if (given !== undefined) return given;
  throw new SidebearerError('usage_invalid', { reason: `the webhook needs --${name}; for a file, give --file` });
}
