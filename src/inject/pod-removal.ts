// What injection added to a pod → what has to change so that it is gone. It goes by the status annotation and by names,
// and takes out nothing that it cannot tell to be ours.
import { readAnnotations, statusAnnotation } from './annotations.ts';
import type { Edit, EditPath } from './edit.ts';
import { type Fields, fieldOf, fieldsOf, listOf, nameOf, type PodParts, readPod } from './pod-data.ts';
import { readStatus } from './pod-injection.ts';
import { containerName, isOurVolume, isProxyUrl } from './sidecar-container.ts';

const GRACE = 'terminationGracePeriodSeconds';

export type Removal =
  | { readonly outcome: 'untouched' }
  | { readonly outcome: 'refused'; readonly reason: string }
  | { readonly outcome: 'removed'; readonly edits: readonly Edit[] };

export function removeSidecar(pod: unknown): Removal {
  const annotations = fieldsOf(fieldOf(fieldOf(pod, 'metadata'), 'annotations'));
  const parts = readPod(pod);
  const isMarked = Object.hasOwn(annotations, statusAnnotation);
  if (typeof parts === 'string') return isMarked ? { outcome: 'refused', reason: parts } : { outcome: 'untouched' };
  const hasContainer = [...parts.containers, ...parts.initContainers].some((each) => nameOf(each) === containerName);
  if (!isMarked) {
    if (!hasContainer) return { outcome: 'untouched' };
    const reason = `it has a container ${containerName} that was not injected: there is no ${statusAnnotation}`;
    return { outcome: 'refused', reason };
  }
  const status = readStatus(annotations);
  if (typeof status?.injected !== 'boolean') {
    return { outcome: 'refused', reason: `${statusAnnotation} is not what inject wrote` };
  }
  const mark: Edit = { op: 'remove', path: ['metadata', 'annotations', statusAnnotation] };
  // Of a refusal nothing else is ours: a container or a volume of our name is what it was refused for.
  if (!status.injected) return { outcome: 'removed', edits: [mark] };
  const edits = [
    ...variableEdits(parts, fieldsOf(status.env)),
    ...(hasContainer ? sidecarEdits(parts) : []),
    ...graceEdits(parts, status.graceSeconds),
    mark,
  ];
  return { outcome: 'removed', edits };
}

function sidecarEdits({ containers, initContainers, volumes }: PodParts): Edit[] {
  const isSidecar = (each: Fields): boolean => nameOf(each) === containerName;
  return [
    ...removeItems(['spec', 'initContainers'], initContainers, isSidecar),
    ...removeItems(['spec', 'containers'], containers, isSidecar),
    ...removeItems(['spec', 'volumes'], volumes, (each) => isOurVolume(nameOf(each))),
  ];
}

function variableEdits({ containers, initContainers }: PodParts, byContainer: Fields): Edit[] {
  return Object.entries({ containers, initContainers }).flatMap(([field, list]) =>
    list.flatMap((container, index) => {
      const name = nameOf(container);
      const ours = Object.hasOwn(byContainer, name) ? byContainer[name] : undefined;
      if (!Array.isArray(ours)) return [];
      const path = ['spec', field, index, 'env'];
      const isOurs = (each: Fields): boolean => ours.includes(nameOf(each)) && isProxyUrl(fieldOf(each, 'value'));
      return removeItems(path, listOf(fieldOf(container, 'env')), isOurs);
    }),
  );
}

/** From the end, so that indices stay true. A list that becomes empty goes whole: most often there was none before. */
function removeItems(path: EditPath, list: readonly Fields[], isOurs: (item: Fields) => boolean): Edit[] {
  const indices = [...list.keys()].filter((index) => isOurs(list[index] ?? {}));
  if (indices.length === 0) return [];
  if (indices.length === list.length) return [{ op: 'remove', path }];
  return indices.reverse().map((index) => ({ op: 'remove', path: [...path, index] }));
}

/** Only what is still as it was raised. */
function graceEdits({ annotations, spec }: PodParts, before: unknown): Edit[] {
  const { wishes } = readAnnotations(annotations);
  if (wishes === undefined || fieldOf(spec, GRACE) !== wishes.terminationGraceSeconds) return [];
  if (before === null) return [{ op: 'remove', path: ['spec', GRACE] }];
  return typeof before === 'number' ? [{ op: 'add', path: ['spec', GRACE], value: before }] : [];
}
