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

/** The same on plain data, in place. @throws TypeError where a path leads nowhere */
export function applyEdits(data: unknown, edits: readonly Edit[]): void {
  for (const edit of edits) {
    const parent = edit.path.slice(0, -1).reduce<unknown>((value, step) => memberOf(value, step), data);
    const last = edit.path.at(-1) ?? '';
    if (Array.isArray(parent))
      parent.splice(Number(last), edit.op === 'add' ? 0 : 1, ...(edit.op === 'add' ? [edit.value] : []));
    else if (typeof parent !== 'object' || parent === null) throw new TypeError('an edit leads nowhere');
    else if (edit.op === 'add') Object.assign(parent, { [last]: edit.value });
    else Reflect.deleteProperty(parent, last);
  }
}

function memberOf(value: unknown, step: string | number): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, step) : undefined;
}
