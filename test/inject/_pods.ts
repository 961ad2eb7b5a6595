// Pods for the tests of injection, and what the API server would do with a patch: by a library that is not ours.
import { applyPatch, type Operation } from 'rfc6902';
import { type Edit, toJsonPatch } from '../../src/inject/edit.ts';
import { type Injection, type InjectionOptions, injectPod } from '../../src/inject/pod-injection.ts';

export const options: InjectionOptions = {
  version: '0.1.0',
  stage: 'admission',
  image: 'registry.example/sidebearer:0.1.0',
  imagePullPolicy: undefined,
  keysSecret: 'sidebearer-keys',
};

export interface TestContainer {
  name: string;
  image?: string;
  restartPolicy?: string;
  env?: { name: string; value?: string }[];
  ports?: { containerPort: number; protocol?: string }[];
  volumeMounts?: { name: string; mountPath: string }[];
  [field: string]: unknown;
}

export interface TestPod {
  metadata: { annotations?: Record<string, string>; labels?: Record<string, string>; [field: string]: unknown };
  spec: {
    containers: TestContainer[];
    initContainers?: TestContainer[];
    volumes?: { name: string; [field: string]: unknown }[];
    terminationGracePeriodSeconds?: number;
    [field: string]: unknown;
  };
  [field: string]: unknown;
}

/** @param annotations without the prefix; `inject: config` is there unless it is given */
export function podWith(annotations: Record<string, string> = {}, spec: Partial<TestPod['spec']> = {}): TestPod {
  const entries = Object.entries({ inject: 'config', ...annotations });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'app',
      annotations: Object.fromEntries(entries.map(([name, value]) => [`sidebearer.dev/${name}`, value])),
    },
    spec: {
      containers: [{ name: 'app', image: 'app:1' }],
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 30,
      ...spec,
    },
  };
}

/** What the pod is after the edits. */
export function applied<Pod>(pod: Pod, edits: readonly Edit[]): Pod {
  const copy = structuredClone(pod);
  const errors = applyPatch(copy, structuredClone(toJsonPatch(edits)) as Operation[]);
  for (const error of errors) if (error !== null) throw error;
  return copy;
}

export function inject(pod: TestPod, given: Partial<InjectionOptions> = {}): Injection & { pod: TestPod } {
  const injection = injectPod(pod, { ...options, ...given });
  return { ...injection, pod: applied(pod, injection.edits) };
}

export function statusOf(pod: TestPod): Record<string, unknown> | undefined {
  const text = pod.metadata.annotations?.['sidebearer.dev/status'];
  return text === undefined ? undefined : JSON.parse(text);
}

export function sidecarOf(pod: TestPod): TestContainer | undefined {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find(({ name }) => name === 'sidebearer');
}
