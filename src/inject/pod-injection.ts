// A pod → what has to change so that it has the sidecar, or why nothing does. Pure: it reads no file and no API, never
// throws for what stands in a pod, and never changes one that did not ask.
import { findMisspelt, isWanted, prefix, readAnnotations, statusAnnotation, type Wishes } from './annotations.ts';
import type { Edit } from './edit.ts';
import { findCautions, findObjection } from './objections.ts';
import { type Fields, fieldOf, fieldsOf, isAbsent, listOf, nameOf, type PodParts, readPod, shown } from './pod-data.ts';
import { containerName, createSidecar, proxyUrl, type SidecarDefaults } from './sidecar-container.ts';

export interface InjectionOptions extends SidecarDefaults {
  /** Of this program, for the status. */
  readonly version: string;
  /** `manifest`: a file, of which the API server has not said anything yet. */
  readonly stage: 'admission' | 'manifest';
}

export type Injection =
  /** It did not ask; warnings are about what looks as if it meant to. */
  | { readonly outcome: 'untouched'; readonly edits: readonly []; readonly warnings: readonly string[] }
  /** Asked for, and not done; the edits write the status, where there was none. */
  | {
      readonly outcome: 'refused' | 'already';
      readonly reason: string;
      readonly edits: readonly Edit[];
      readonly warnings: readonly string[];
    }
  | { readonly outcome: 'injected'; readonly edits: readonly Edit[]; readonly warnings: readonly string[] };

/** What stands in the annotation `status`, as compact JSON. */
export interface InjectionStatus {
  readonly version: string;
  readonly injected: boolean;
  readonly reason?: string;
  readonly container?: string;
  readonly warnings?: readonly string[];
  /** Variables that were set, by container: what `uninject` takes out again. */
  readonly env?: Readonly<Record<string, readonly string[]>>;
  /** terminationGracePeriodSeconds before it was raised; null: there was none. */
  readonly graceSeconds?: number | null;
}

/** What all annotations of an object may be together. */
const MAX_ANNOTATION_BYTES = 262_144;
/** kubelet's own where the pod names none. */
const KUBELET_GRACE_SECONDS = 30;

export function injectPod(pod: unknown, options: InjectionOptions): Injection {
  const metadata = fieldOf(pod, 'metadata');
  const annotations = fieldsOf(fieldOf(metadata, 'annotations'));
  // A mirror of a pod that kubelet runs from a file: it can only be shown, not changed.
  if (Object.hasOwn(annotations, 'kubernetes.io/config.mirror')) return untouched([]);
  const isDeclined = Object.hasOwn(annotations, `${prefix}inject`) && !isWanted(annotations);
  if (isDeclined) return untouched([]);
  const misspelt = findMisspelt(annotations, fieldsOf(fieldOf(metadata, 'labels')));
  const { wishes, mistakes } = readAnnotations(annotations);
  if (wishes === undefined) return untouched(misspelt);

  const refuse = (...reasons: readonly string[]): Injection => refused(reasons, misspelt, annotations, options);
  const parts = readPod(pod);
  if (typeof parts === 'string') return refuse(parts);
  const earlier = describeEarlier(parts);
  if (earlier !== undefined) return earlier;
  if (mistakes.length > 0) return refuse(...mistakes);
  const image = wishes.image ?? options.image;
  if (image === undefined) return refuse(`no image is named: set ${prefix}image`);
  const objection = findObjection(parts, wishes);
  if (objection !== undefined) return refuse(objection);
  return injected(parts, wishes, image, misspelt, options) ?? refuse('its annotations leave no room for a status');
}

function untouched(warnings: readonly string[]): Injection {
  return { outcome: 'untouched', edits: [], warnings };
}

/**
 * A second look at the same pod (reinvocation, a file that was injected before) is no news. One that was refused is
 * judged anew: its annotations may have been copied into a pod that is in order.
 */
function describeEarlier(parts: PodParts): Injection | undefined {
  const { annotations, containers, initContainers } = parts;
  if (!Object.hasOwn(annotations, statusAnnotation) || readStatus(annotations)?.injected === false) return undefined;
  if ([...containers, ...initContainers].some((each) => nameOf(each) === containerName)) {
    return { outcome: 'already', reason: 'it has the sidecar already', edits: [], warnings: [] };
  }
  const reason = `it has the annotation ${statusAnnotation} without the container: remove that annotation`;
  // No status of its own: a second look would take it for one that may be judged anew.
  return { outcome: 'refused', reason, edits: [], warnings: [`not injected: ${reason}`] };
}

function refused(
  reasons: readonly string[],
  misspelt: readonly string[],
  annotations: Fields,
  options: InjectionOptions,
): Injection {
  const reason = reasons.join('; ');
  const status = { version: options.version, injected: false, reason, ...told(misspelt) };
  const warnings = [...reasons.map((each) => `not injected: ${each}`), ...misspelt];
  return { outcome: 'refused', reason, edits: statusEdits(annotations, status) ?? [], warnings };
}

/** undefined: there is no room for the status. */
function injected(
  parts: PodParts,
  wishes: Wishes,
  image: string,
  misspelt: readonly string[],
  options: InjectionOptions,
): Injection | undefined {
  const { annotations, spec, containers } = parts;
  const sidecar = createSidecar(wishes, image, options, isAbsent(fieldOf(spec, 'resources')));
  const variables = setVariables(parts, wishes);
  const grace = fieldOf(spec, 'terminationGracePeriodSeconds');
  const isShort = (typeof grace === 'number' ? grace : KUBELET_GRACE_SECONDS) < wishes.terminationGraceSeconds;
  const warnings = [...misspelt, ...variables.warnings, ...findCautions(parts, wishes, options.stage)];
  const status: InjectionStatus = {
    version: options.version,
    injected: true,
    container: containerName,
    ...(Object.keys(variables.byContainer).length > 0 && { env: variables.byContainer }),
    ...(isShort && { graceSeconds: typeof grace === 'number' ? grace : null }),
    ...told(warnings),
  };
  const marked = statusEdits(annotations, status);
  if (marked === undefined) return undefined;
  const edits: Edit[] = [
    // While the indices are still those of the pod.
    ...variables.edits,
    wishes.kind === 'native'
      ? // First, so that the init containers after it have the proxy.
        insert('initContainers', fieldOf(spec, 'initContainers'), 0, sidecar.container)
      : insert('containers', containers, containers.length, sidecar.container),
    ...addVolumes(parts, sidecar.volumes),
    ...(isShort ? [addTo('terminationGracePeriodSeconds', wishes.terminationGraceSeconds)] : []),
    ...marked,
  ];
  return { outcome: 'injected', edits, warnings };
}

function addTo(field: string, value: unknown): Edit {
  return { op: 'add', path: ['spec', field], value };
}

function insert(field: string, present: unknown, index: number, value: unknown): Edit {
  return isAbsent(present) ? addTo(field, [value]) : { op: 'add', path: ['spec', field, index], value };
}

function addVolumes({ spec, volumes }: PodParts, added: readonly unknown[]): Edit[] {
  if (isAbsent(fieldOf(spec, 'volumes'))) return [addTo('volumes', added)];
  return added.map((value, index) => ({ op: 'add', path: ['spec', 'volumes', volumes.length + index], value }));
}

interface Variables {
  readonly edits: readonly Edit[];
  readonly byContainer: Readonly<Record<string, readonly string[]>>;
  readonly warnings: readonly string[];
}

/** In front of the others: those that follow may refer to them as $(NAME). */
function setVariables({ containers, initContainers }: PodParts, wishes: Wishes): Variables {
  const edits: Edit[] = [];
  const byContainer: Record<string, string[]> = Object.create(null);
  const warnings: string[] = [];
  const lists = { containers, initContainers: wishes.kind === 'native' ? initContainers : [] };
  for (const [field, list] of Object.entries(lists)) {
    for (const [index, container] of list.entries()) {
      const name = nameOf(container);
      // Another sidecar is not the application, unless it is named.
      const isSidecar = field === 'initContainers' && fieldOf(container, 'restartPolicy') === 'Always';
      if (!(wishes.containers?.includes(name) ?? !isSidecar)) continue;
      const present = listOf(fieldOf(container, 'env'));
      const added = wishes.env.flatMap(({ name: variable, path }) => {
        const value = `${proxyUrl(wishes)}${path}`;
        const own = present.find((each) => nameOf(each) === variable);
        if (own === undefined) return [{ name: variable, value }];
        if (fieldOf(own, 'value') !== value) {
          warnings.push(`container ${shown(name)} sets ${variable} itself: it is left as it is`);
        }
        return [];
      });
      if (added.length === 0) continue;
      byContainer[name] = added.map((each) => each.name);
      const path = ['spec', field, index, 'env'];
      if (isAbsent(fieldOf(container, 'env'))) edits.push({ op: 'add', path, value: added });
      else edits.push(...added.map((value, at) => ({ op: 'add' as const, path: [...path, at], value })));
    }
  }
  return { edits, byContainer, warnings };
}

function told(warnings: readonly string[]): { warnings?: readonly string[] } {
  return warnings.length === 0 ? {} : { warnings: warnings.slice(0, MAX_TOLD) };
}

/** The status must not grow with the pod. */
const MAX_TOLD = 10;

/** undefined: there is no room for it. Without any annotations there was no wish, so that their object is there. */
function statusEdits(annotations: Fields, status: InjectionStatus): Edit[] | undefined {
  const value = JSON.stringify(status);
  let bytes = Buffer.byteLength(statusAnnotation) + Buffer.byteLength(value);
  for (const [key, text] of Object.entries(annotations))
    bytes += Buffer.byteLength(key) + Buffer.byteLength(String(text));
  if (bytes > MAX_ANNOTATION_BYTES) return undefined;
  if (annotations[statusAnnotation] === value) return [];
  return [{ op: 'add', path: ['metadata', 'annotations', statusAnnotation], value }];
}

/** What was written there before; undefined where it is none of ours. */
export function readStatus(annotations: Fields): Partial<InjectionStatus> | undefined {
  try {
    const status: unknown = JSON.parse(String(annotations[statusAnnotation]));
    return typeof status === 'object' && status !== null ? status : undefined;
  } catch {
    return undefined;
  }
}
