// The table of the chart's values in helm/sidebearer/README.md, read from the comments of values.yaml that begin with
// two dashes. A value without one is a mistake, unless the values below it have theirs.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

export interface ChartValue {
  readonly path: string;
  readonly byDefault: unknown;
  readonly doc: string;
}

const valuesFile = fileURLToPath(new URL('../helm/sidebearer/values.yaml', import.meta.url));

export function listChartValues(text = readFileSync(valuesFile, 'utf8')): ChartValue[] {
  const { contents } = parseDocument(text);
  if (!isMap(contents)) throw new Error('values.yaml is no mapping');
  return list(contents, '', contents.commentBefore);
}

/** The comment before the first key belongs to the mapping. */
function list(map: YAMLMap, prefix: string, firstComment: string | null | undefined): ChartValue[] {
  return map.items.flatMap((pair, index) => {
    const path = prefix + keyOf(pair);
    const doc =
      docOf(isScalar(pair.key) ? pair.key.commentBefore : undefined) ?? (index === 0 ? docOf(firstComment) : undefined);
    const { value } = pair;
    if (doc !== undefined) return [{ path, byDefault: isMap(value) ? value.toJSON() : plain(value), doc }];
    if (isMap(value) && value.items.length > 0) return list(value, `${path}.`, value.commentBefore);
    throw new Error(`values.yaml: ${path} has no comment that begins with "# --"`);
  });
}

function keyOf({ key }: Pair): string {
  return isScalar(key) ? String(key.value) : String(key);
}

function plain(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'toJSON' in value && typeof value.toJSON === 'function'
    ? value.toJSON()
    : null;
}

function docOf(comment: string | null | undefined): string | undefined {
  return comment
    ?.split('\n')
    .find((line) => line.startsWith(' -- '))
    ?.slice(4);
}
