// A file with Kubernetes objects → the same with edits. A document that has none stays byte for byte; in one that has
// them everything around the edits does, or, where its layout is none that splice.ts knows, what the YAML library keeps.
// What it writes is read again and compared: a file that says something else than was meant is never written.
import { isDeepStrictEqual } from 'node:util';
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isSeq,
  type ParsedNode,
  parseAllDocuments,
  parseDocument,
  visit,
} from 'yaml';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { applyEdits, type Edit } from './edit.ts';
import { splice } from './splice.ts';
import { type FoundPod, findPods } from './workload.ts';

const MAX_CHARACTERS = 64 * 1_048_576;
const parsing = { merge: true, prettyErrors: false, logLevel: 'silent' } as const;

/**
 * @param decide the edits of a pod, from its own root
 * @throws manifest_unusable
 */
export function editManifest(text: string, decide: (found: FoundPod) => readonly Edit[]): string {
  if (text.length > MAX_CHARACTERS) throw unusable('it is larger than 64 MiB');
  const mark = text.startsWith('\u{feff}') ? '\u{feff}' : '';
  const source = text.slice(mark.length);
  return mark + (editJson(source, decide) ?? editYaml(source, decide));
}

function decideAll(object: unknown, decide: (found: FoundPod) => readonly Edit[]): Edit[] {
  return findPods(object).flatMap((found) =>
    decide(found).map((edit) => ({ ...edit, path: [...found.path, ...edit.path] })),
  );
}

/** undefined: it is no JSON. What YAML writes into flow collections would be none either. */
function editJson(source: string, decide: (found: FoundPod) => readonly Edit[]): string | undefined {
  if (!/^\s*[{[]/.test(source)) return undefined;
  let data: unknown;
  try {
    data = JSON.parse(source);
  } catch {
    return undefined;
  }
  const edits = decideAll(data, decide);
  if (edits.length === 0) return source;
  applyEdits(data, edits);
  const indent = /^[{[]\r?\n([ \t]+)/.exec(source.trimStart())?.[1];
  return `${JSON.stringify(data, null, indent)}${/\s*$/.exec(source)?.[0] ?? ''}`;
}

function editYaml(source: string, decide: (found: FoundPod) => readonly Edit[]): string {
  const documents = parseAllDocuments<ParsedNode>(source, parsing);
  if (documents.length === 0) return source;
  const data = documents.map((document) => readDocument(document, source));
  let start = 0;
  const pieces = documents.map((document, index) => {
    const end = index === documents.length - 1 ? source.length : document.range[2];
    const piece = source.slice(start, end);
    start = end;
    const object = data[index];
    const edits = decideAll(object, decide);
    return edits.length === 0 ? piece : editDocument(document, piece, object, edits);
  });
  return pieces.join('');
}

/** @throws manifest_unusable */
function readDocument(document: Document.Parsed<ParsedNode>, source: string): unknown {
  const [problem] = document.errors;
  if (problem !== undefined) {
    const line = source.slice(0, problem.pos[0]).split('\n').length;
    throw unusable(`line ${line} is not valid YAML`);
  }
  try {
    return document.toJS();
  } catch {
    throw unusable('its aliases cannot be followed');
  }
}

function editDocument(document: Document.Parsed<ParsedNode>, piece: string, object: unknown, edits: Edit[]): string {
  const wanted = copyOf(object);
  applyEdits(wanted, edits);
  const means = (text: string): boolean => isDeepStrictEqual(readAgain(text), wanted);
  try {
    const spliced = splice(piece, edits, parsing);
    if (spliced !== undefined && means(spliced)) return spliced;
  } catch {
    // A layout that it takes for another one.
  }
  try {
    separate(document);
    for (const edit of edits) apply(document, edit);
    const text = write(document, piece);
    if (means(text)) return text;
  } catch {
    // An anchor or a merge in the way: the data is what counts.
  }
  const plain = parseDocument(piece, parsing);
  plain.contents = plain.createNode(wanted) as typeof plain.contents;
  const text = write(plain, piece);
  if (!means(text)) throw unusable('a document in it cannot be written again');
  return text;
}

/** What an anchor stands for is one object wherever its aliases are: here each of them is its own. */
function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, copyOf(member)]));
}

function readAgain(text: string): unknown {
  return parseDocument(text, parsing).toJS();
}

/** What an alias stands for may be about to change: from here on each of them is a copy. */
function separate(document: Document): void {
  const known = document.clone() as Document;
  visit(document, {
    Alias(_key, alias) {
      const target = alias.resolve(known);
      const copy = target?.clone();
      if (!isNode(copy)) return undefined;
      visit(copy, {
        Node(_at, node) {
          if (!isAlias(node)) delete node.anchor;
        },
      });
      return copy;
    },
  });
}

function apply(document: Document, { path, ...edit }: Edit): void {
  const parent = document.getIn(path.slice(0, -1), true);
  const last = path.at(-1);
  if (isSeq(parent)) {
    const added = edit.op === 'add' ? [document.createNode(edit.value)] : [];
    parent.items.splice(Number(last), edit.op === 'add' ? 0 : 1, ...added);
  } else if (isMap(parent)) {
    if (edit.op === 'add') parent.set(last, document.createNode(edit.value));
    else parent.delete(last);
  } else {
    throw new TypeError('an edit leads nowhere');
  }
}

/** In the manner of the text that was there. */
function write(document: Document, piece: string): string {
  const indents = [...piece.matchAll(/^( +)[^\s#-]/gm)].map(([, spaces = '']) => spaces.length);
  const indent = indents.length > 0 && indents.every((count) => count % 4 === 0) ? 4 : 2;
  const text = document.toString({
    lineWidth: 0,
    indent,
    // `key:` and its list in one column, or not.
    indentSeq: !/^( *)(?:- )?[^\s#-][^\n]*:\r?\n\1- /m.test(piece),
    flowCollectionPadding: !/[{[][^\s{[\]}]/.test(piece.replace(/#.*|"[^"\n]*"|'[^'\n]*'/g, '')),
  });
  return piece.includes('\r\n') ? text.replace(/\r?\n/g, '\r\n') : text;
}

function unusable(reason: string): SidebearerError {
  return new SidebearerError('manifest_unusable', { reason });
}
