// What a pod may ask for by its annotations, as data: the reader, the warnings and the table of docs/injection.md go
// by it. A value is never repeated in a complaint.
import { nearest } from '../config/nearest.ts';
import * as values from './annotation-values.ts';
import { type Fields, isAbsent, shown } from './pod-data.ts';

export const prefix = 'sidebearer.dev/';

interface AnnotationDefinition {
  /** What it takes, for a person: "… is not FORM". */
  readonly form: string;
  /** As the table of the documentation shows it. */
  readonly byDefault: string;
  readonly doc: string;
}

export const annotationDefinitions = {
  inject: {
    form: 'the name of a ConfigMap',
    byDefault: '',
    doc: 'The ConfigMap in the namespace of the pod whose `config.yaml` is the configuration. Absent, empty or `"false"`: the pod is not touched.',
  },
  env: {
    form: 'a list such as OPENAI_BASE_URL,OTHER_URL=/v1',
    byDefault: '',
    doc: 'Environment variables that get `http://127.0.0.1:PORT`, with the path where one is named: `OPENAI_BASE_URL,OTHER_URL=/v1`. One that a container sets itself stays as it is.',
  },
  containers: {
    form: 'a list of names of containers',
    byDefault: 'all containers, and init containers that end',
    doc: 'Only these get the variables.',
  },
  image: { form: 'an image', byDefault: '`--image`', doc: 'The image of the sidecar.' },
  'image-pull-policy': {
    form: 'Always, IfNotPresent or Never',
    byDefault: '`--image-pull-policy`',
    doc: '`Always`, `IfNotPresent` or `Never`.',
  },
  'log-level': {
    form: `one of ${values.logLevels.join(', ')}`,
    byDefault: 'the configuration’s',
    doc: '`debug`, `info`, … instead of `log.level`.',
  },
  'cpu-request': { form: 'an amount of CPU such as 50m', byDefault: '`20m`', doc: 'As in the API.' },
  'cpu-limit': { form: 'an amount of CPU such as 500m', byDefault: 'none', doc: 'As in the API.' },
  'memory-request': {
    form: 'an amount of memory such as 64Mi',
    byDefault: '`64Mi`, or the limit where that is less',
    doc: 'As in the API.',
  },
  'memory-limit': {
    form: 'an amount of memory such as 256Mi',
    byDefault: '`256Mi`, or the request where that is more',
    doc: 'As in the API.',
  },
  'proxy-port': {
    form: 'a port from 1 to 65535',
    byDefault: '`8080`',
    doc: 'Port of the proxy on 127.0.0.1, where 8080 is the application’s. Wins over `listen.proxy`.',
  },
  'telemetry-port': {
    form: 'a port from 1 to 65535',
    byDefault: '`9464`',
    doc: 'Port of metrics and probes, where 9464 is the application’s. Wins over `listen.telemetry`.',
  },
  'keys-secret': {
    form: 'the name of a Secret, or none',
    byDefault: '`--keys-secret` (`sidebearer-keys`)',
    doc: 'The Secret with the key that seals the tokens: all of it is mounted into the sidecar alone, at /var/run/secrets/sidebearer. `none`: no mount.',
  },
  secrets: {
    form: 'a list of names of Secrets, other than sidebearer and kubernetes.io',
    byDefault: '',
    doc: 'Further Secrets, each mounted into the sidecar alone, at /var/run/secrets/NAME, for `${file:…}` in the configuration.',
  },
  sidecar: {
    form: 'native or container',
    byDefault: '`native`',
    doc: '`native`: an init container with `restartPolicy: Always` (Kubernetes 1.29). `container`: an ordinary one, for older clusters; a Job then has to end it (`quit`).',
  },
  quit: {
    form: 'true or false',
    byDefault: '`"false"`',
    doc: '`"true"`: the application may end the sidecar, by `sidebearer shutdown` or `POST /quitquitquit`.',
  },
  'termination-grace-seconds': {
    form: 'a number of seconds from 0 to 86400',
    byDefault: '`65`',
    doc: 'Least `terminationGracePeriodSeconds` of the pod; a shorter one is raised to it. `0`: the pod’s own stays.',
  },
} as const satisfies Record<string, AnnotationDefinition>;

export type AnnotationName = keyof typeof annotationDefinitions;

/** Ours: what came of it. */
export const statusAnnotation = `${prefix}status`;

export interface Wishes {
  readonly configMap: string;
  readonly env: readonly values.BaseUrl[];
  readonly containers: readonly string[] | undefined;
  readonly image: string | undefined;
  readonly imagePullPolicy: string | undefined;
  readonly logLevel: string | undefined;
  readonly cpuRequest: values.Quantity | undefined;
  readonly cpuLimit: values.Quantity | undefined;
  readonly memoryRequest: values.Quantity | undefined;
  readonly memoryLimit: values.Quantity | undefined;
  readonly proxyPort: number | undefined;
  readonly telemetryPort: number | undefined;
  /** `none`: no mount. */
  readonly keysSecret: string | undefined;
  readonly secrets: readonly string[];
  readonly kind: 'native' | 'container';
  readonly quit: boolean;
  readonly terminationGraceSeconds: number;
}

export interface ReadAnnotations {
  /** undefined: the pod asks for nothing. */
  readonly wishes: Wishes | undefined;
  /** Sentences about values that cannot be used. */
  readonly mistakes: readonly string[];
}

export function readAnnotations(annotations: Fields): ReadAnnotations {
  const mistakes: string[] = [];
  function read<T>(name: AnnotationName, reader: (text: string) => T | undefined): T | undefined {
    const text = textAt(annotations, name);
    if (text === undefined) return undefined;
    const value = reader(text);
    if (value === undefined) mistakes.push(`${prefix}${name} is not ${annotationDefinitions[name].form}`);
    return value;
  }
  if (!isWanted(annotations)) return { wishes: undefined, mistakes };
  const wishes: Wishes = {
    configMap: read('inject', values.configMapName) ?? '',
    env: read('env', values.baseUrls) ?? [],
    containers: read('containers', values.containerNames),
    image: read('image', values.image),
    imagePullPolicy: read('image-pull-policy', values.pullPolicy),
    logLevel: read('log-level', values.logLevel),
    cpuRequest: read('cpu-request', values.cpu),
    cpuLimit: read('cpu-limit', values.cpu),
    memoryRequest: read('memory-request', values.memory),
    memoryLimit: read('memory-limit', values.memory),
    proxyPort: read('proxy-port', values.port),
    telemetryPort: read('telemetry-port', values.port),
    keysSecret: read('keys-secret', values.objectName),
    secrets: read('secrets', values.secretNames) ?? [],
    kind: read('sidecar', values.sidecarKind) ?? 'native',
    quit: read('quit', values.yesOrNo) ?? false,
    terminationGraceSeconds: read('termination-grace-seconds', values.seconds) ?? DEFAULT_GRACE_SECONDS,
  };
  for (const [what, request, limit] of [
    ['cpu', wishes.cpuRequest, wishes.cpuLimit],
    ['memory', wishes.memoryRequest, wishes.memoryLimit],
  ] as const) {
    // The API server would refuse the pod.
    if (request !== undefined && limit !== undefined && request.amount > limit.amount) {
      mistakes.push(`${prefix}${what}-request is more than ${prefix}${what}-limit`);
    }
  }
  return { wishes, mistakes };
}

/** What the default configuration may take to end: maxDrain 25 s, a redeem of 30 s, its commit and 5 s more. */
const DEFAULT_GRACE_SECONDS = 65;

/** Whether a pod with these annotations asks for a sidecar at all. */
export function isWanted(annotations: Fields): boolean {
  return (textAt(annotations, 'inject') ?? 'false') !== 'false';
}

/** Sentences about keys that look like ours and are none, or are where they do nothing. */
export function findMisspelt(annotations: Fields, labels: Fields): string[] {
  const names = Object.keys(annotationDefinitions);
  const told: string[] = [];
  for (const key of Object.keys(annotations)) {
    const isOurs = key.startsWith(prefix);
    if (isOurs && (key === statusAnnotation || Object.hasOwn(annotationDefinitions, key.slice(prefix.length))))
      continue;
    const [domain = '', name = ''] = key.split('/', 2);
    // `sidebearer.io/inject`, `sidebearer/inject`, `sidebaerer.dev/inject`
    if (!isOurs && nearest(domain, ['sidebearer.dev', 'sidebearer']) === undefined) continue;
    const meant = nearest(name, names);
    if (!isOurs && meant === undefined) continue;
    const hint = meant === undefined ? '' : ` (did you mean ${prefix}${meant}?)`;
    told.push(`the annotation ${shown(key)} is not known${hint}`);
  }
  for (const name of names) {
    const key = `${prefix}${name}`;
    if (Object.hasOwn(labels, key)) told.push(`${key} is a label here and does nothing: it must be an annotation`);
  }
  return told;
}

/** Set and empty is how templates say "not set". */
function textAt(annotations: Fields, name: AnnotationName): string | undefined {
  const key = `${prefix}${name}`;
  const value = Object.hasOwn(annotations, key) ? annotations[key] : undefined;
  const text = isAbsent(value) ? '' : String(value).trim();
  return text === '' ? undefined : text;
}
