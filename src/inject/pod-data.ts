// Reading a pod that somebody else wrote: every field may be absent or of another kind, and nothing here throws for it.
// Names out of it may be anything, too: at this point of admission the API server has not judged them yet.

export type Fields = Readonly<Record<string, unknown>>;

const nothing: Fields = Object.freeze({});

/** The object as it is; an empty one for whatever is none. */
export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : nothing;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Only a field of its own: `__proto__` in a foreign object is a name like any other. */
export function fieldOf(value: unknown, name: string): unknown {
  return isFields(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

export function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

export function nameOf(value: unknown): string {
  const name = fieldOf(value, 'name');
  return typeof name === 'string' ? name : '';
}

/** A foreign name as it may stand in a warning: an HTTP header of the API server's answer. */
export function shown(name: string): string {
  return name.replace(/[^\x21-\x7e]/g, '?').slice(0, 80);
}

export interface PodParts {
  readonly annotations: Fields;
  readonly spec: Fields;
  readonly containers: readonly Fields[];
  readonly initContainers: readonly Fields[];
  readonly volumes: readonly Fields[];
}

/** @returns a sentence where it is no pod that could be changed */
export function readPod(pod: unknown): PodParts | string {
  const spec = fieldOf(pod, 'spec');
  if (!isFields(spec)) return 'it has no spec';
  const containers = fieldOf(spec, 'containers');
  if (!Array.isArray(containers) || containers.length === 0) return 'it has no containers';
  const lists = { initContainers: fieldOf(spec, 'initContainers'), volumes: fieldOf(spec, 'volumes') };
  for (const [name, list] of Object.entries({ containers, ...lists })) {
    if (!isAbsent(list) && !(Array.isArray(list) && list.every((each) => isFields(each) && nameOf(each) !== ''))) {
      return `spec.${name} is not a list of objects with names`;
    }
  }
  const parts = {
    annotations: fieldsOf(fieldOf(fieldOf(pod, 'metadata'), 'annotations')),
    spec,
    containers: listOf(containers),
    initContainers: listOf(lists.initContainers),
    volumes: listOf(lists.volumes),
  };
  for (const container of [...parts.containers, ...parts.initContainers]) {
    const env = fieldOf(container, 'env');
    if (!isAbsent(env) && !(Array.isArray(env) && env.every(isFields))) {
      return `env of container ${shown(nameOf(container))} is not a list of objects`;
    }
  }
  return parts;
}

/** YAML writes an absent value as null. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}
