// Edits made in the text of a YAML document, so that all the rest of it stays byte for byte. It knows block collections
// alone and takes the common layout for granted: whoever calls it compares what comes out with what was meant.
import {
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  stringify,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { Edit } from './edit.ts';

/** @returns undefined where an edit is none of a block collection that is there */
export function splice(source: string, edits: readonly Edit[], parsing: object): string | undefined {
  let text: string | undefined = source;
  // Places move with each edit; a manifest is small.
  for (const edit of edits) {
    const parent = parseDocument(text, parsing).getIn(edit.path.slice(0, -1), true);
    const last = edit.path.at(-1) ?? '';
    if (isSeq<Node>(parent)) text = spliceList(text, parent, Number(last), edit);
    else if (isMap<Node, Node>(parent)) text = spliceMapping(text, parent, String(last), edit);
    else return undefined;
    if (text === undefined) return undefined;
  }
  return text;
}

function spliceList(text: string, list: YAMLSeq<Node>, index: number, edit: Edit): string | undefined {
  const [first] = list.items;
  if (list.flow === true || first === undefined) return undefined;
  const dashOf = (item: Node): number => text.lastIndexOf('-', startOf(item) - 1);
  const column = dashOf(first) - lineStart(text, dashOf(first));
  const item = list.items[index];
  if (edit.op === 'remove') {
    if (item === undefined || list.items.length === 1) return undefined;
    return cut(text, lineStart(text, dashOf(item)), endOf(text, item));
  }
  const lines = write([edit.value], column, text);
  const after = list.items.at(-1) ?? first;
  const at = item === undefined ? endOf(text, after) : aboveComments(text, lineStart(text, dashOf(item)));
  return insert(text, at, lines);
}

function spliceMapping(text: string, mapping: YAMLMap<Node, Node>, key: string, edit: Edit): string | undefined {
  const [first] = mapping.items;
  if (mapping.flow === true || first === undefined) return undefined;
  const pair = mapping.items.find((each) => isScalar(each.key) && each.key.value === key);
  if (edit.op === 'remove') {
    if (pair === undefined || mapping.items.length === 1) return undefined;
    const start = startOf(pair.key);
    // Behind a dash it is the place of the whole item.
    if (text.slice(lineStart(text, start), start).trim() !== '') return undefined;
    return cut(text, lineStart(text, start), endOf(text, pair.value ?? pair.key));
  }
  if (pair !== undefined) {
    if (!isScalar(pair.value) || pair.value.range === null || pair.value.range === undefined) return undefined;
    const [start, end] = pair.value.range;
    return text.slice(0, start) + JSON.stringify(edit.value) + text.slice(end);
  }
  const column = startOf(first.key) - lineStart(text, startOf(first.key));
  const { key: lastKey, value } = mapping.items.at(-1) ?? (first as Pair<Node, Node>);
  return insert(text, endOf(text, value ?? lastKey), write({ [key]: edit.value }, column, text));
}

/** Lines in the manner of the text. */
function write(value: unknown, column: number, text: string): string {
  const end = text.includes('\r\n') ? '\r\n' : '\n';
  const indentSeq = !/^( *)(?:- )?[^\s#-][^\n]*:\r?\n\1- /m.test(text);
  const lines = stringify(value, { lineWidth: 0, indentSeq }).trimEnd().split('\n');
  return lines.map((line) => (line === '' ? end : `${' '.repeat(column)}${line}${end}`)).join('');
}

function insert(text: string, at: number, lines: string): string {
  const before = text.slice(0, at);
  const isWhole = before === '' || before.endsWith('\n');
  return before + (isWhole ? '' : '\n') + lines + text.slice(at);
}

const cut = (text: string, start: number, end: number): string => text.slice(0, start) + text.slice(end);

const startOf = (node: Node): number => node.range?.[0] ?? 0;

/** Behind the line on which it ends. */
function endOf(text: string, node: Node): number {
  const end = node.range?.[1] ?? 0;
  if (text[end - 1] === '\n') return end;
  const next = text.indexOf('\n', end);
  return next === -1 ? text.length : next + 1;
}

function lineStart(text: string, at: number): number {
  return text.lastIndexOf('\n', at - 1) + 1;
}

/** A comment above an item is about that item. */
function aboveComments(text: string, start: number): number {
  let at = start;
  while (at > 0) {
    const previous = lineStart(text, at - 1);
    if (!/^[ \t]*#/.test(text.slice(previous, at))) break;
    at = previous;
  }
  return at;
}
