// The changes of a pod as data: made once, sent to the API server as JSON Patch (RFC 6902), and applied to files by
// manifest.ts. They are made by hand, not found by comparing two pods: docs/decisions/ says why.

export type EditPath = readonly (string | number)[];

export type Edit =
  /** Into a list before the index, or as a member of an object, which it replaces where it is there. */
  | { readonly op: 'add'; readonly path: EditPath; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: EditPath };

/** The edits, in this order, as a JSON Patch document. */
export function toJsonPatch(edits: readonly Edit[]): object[] {
  return edits.map((edit) => ({ ...edit, path: toPointer(edit.path) }));
}

/** RFC 6901. */
function toPointer(path: EditPath): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
