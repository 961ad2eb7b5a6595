// Where pods stand in Kubernetes objects: in one itself, in the template of a workload, in a list of them.
import type { EditPath } from './edit.ts';
import { fieldOf, isFields, shown } from './pod-data.ts';

export interface FoundPod {
  /** The pod or its template: what has `metadata` and `spec`. */
  readonly pod: unknown;
  readonly path: EditPath;
  /** `Deployment web` */
  readonly name: string;
  /** The object around the template; undefined for a pod. */
  readonly workload?: unknown;
}

const template: EditPath = ['spec', 'template'];
const templates: Readonly<Record<string, EditPath>> = {
  Pod: [],
  PodTemplate: ['template'],
  ReplicationController: template,
  ReplicaSet: template,
  Deployment: template,
  StatefulSet: template,
  DaemonSet: template,
  Job: template,
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
};

/** Lists within lists are no Kubernetes. */
const MAX_DEPTH = 2;

export function findPods(object: unknown, path: EditPath = [], depth = 0): FoundPod[] {
  const kind = fieldOf(object, 'kind');
  if (typeof kind !== 'string') return [];
  const items = fieldOf(object, 'items');
  if (kind.endsWith('List') && Array.isArray(items) && depth < MAX_DEPTH) {
    return items.flatMap((item, index) => findPods(item, [...path, 'items', index], depth + 1));
  }
  const below = Object.hasOwn(templates, kind) ? templates[kind] : undefined;
  if (below === undefined) return [];
  const pod = below.reduce<unknown>((value, step) => fieldOf(value, String(step)), object);
  const own = fieldOf(fieldOf(object, 'metadata'), 'name');
  const name = typeof own === 'string' ? `${kind} ${shown(own)}` : kind;
  if (!isFields(pod)) return [];
  return [{ pod, path: [...path, ...below], name, ...(below.length > 0 && { workload: object }) }];
}
