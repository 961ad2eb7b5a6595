// YAML text → plain data, with the place of every key and value. Anchors, aliases and merge keys are resolved;
// duplicate keys, tags and absurd nesting are mistakes. It never throws for what stands in the text, and its words
// are its own: the library's would repeat pieces of the text, which may be secrets.
import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  Parser,
  type YAMLError,
} from 'yaml';
import type { SettingPath } from './mistake.ts';

const MAX_CHARACTERS = 16 * 1_048_576;
const MAX_DEPTH = 64;
/** After aliases: a few hundred bytes of YAML can stand for billions of nodes. */
const MAX_NODES = 500_000;

export interface SyntaxMistake {
  readonly line: number;
  readonly column: number;
  readonly path: SettingPath;
  readonly message: string;
}

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface YamlDocument {
  /** Mappings (without prototype), lists, text, numbers, booleans, null; undefined where the text is empty or broken. */
  readonly data: unknown;
  readonly mistakes: readonly SyntaxMistake[];
  /** Where a value stands, or its key; where it is absent, the key of the nearest mapping above. */
  locate(path: SettingPath, isAtKey?: boolean): Position;
}

interface Offsets {
  readonly value: number;
  readonly key?: number | undefined;
}

export function parseYaml(source: string): YamlDocument {
  const text = source.startsWith('\u{feff}') ? source.slice(1) : source;
  const lines = new LineCounter();
  const reading = new Reading(lines);
  if (text.length > MAX_CHARACTERS) reading.complain(0, [], 'the file is larger than 16 MiB');
  else reading.read(text);
  return {
    data: reading.mistakes.some((mistake) => mistake.isFatal) ? undefined : reading.data,
    mistakes: reading.mistakes,
    locate: (path, isAtKey) => reading.locate(path, isAtKey ?? false),
  };
}

/** One pass over one text. */
class Reading {
  readonly mistakes: (SyntaxMistake & { isFatal: boolean })[] = [];
  data: unknown;
  readonly #lines: LineCounter;
  readonly #offsets = new Map<string, Offsets>();
  readonly #anchors = new Map<string, ParsedNode>();
  readonly #open = new Set<ParsedNode>();
  /** Inside an alias, anchors have been seen already. */
  #isInAlias = false;
  #nodes = 0;

  constructor(lines: LineCounter) {
    this.#lines = lines;
  }

  complain(offset: number, path: SettingPath, message: string, isFatal = true): void {
    const position = this.#position(offset);
    const isTold = this.mistakes.some((told) => told.line === position.line && told.column === position.column);
    if (!isTold) this.mistakes.push({ ...position, path, message, isFatal });
  }

  read(text: string): void {
    const tokens = [...new Parser(this.#lines.addNewLine).parse(text)];
    // Composing is recursive: text that is nested too deeply would end the process, not throw.
    const tooDeep = findTooDeep(tokens);
    if (tooDeep !== undefined) {
      this.complain(tooDeep, [], `nested deeper than ${MAX_DEPTH} levels`);
      return;
    }
    // uniqueKeys compares every key with every other: 10,000 credentials would take seconds. `#mapping` has a set.
    const composer = new Composer<ParsedNode>({ prettyErrors: false, uniqueKeys: false, logLevel: 'silent' });
    const [document, second] = composer.compose(tokens, true, text.length);
    if (document === undefined) return;
    for (const problem of [...document.errors, ...document.warnings]) this.#complainOf(problem, text);
    if (second !== undefined)
      this.complain(second.range[0], [], 'a second document; the configuration is one document');
    if (this.mistakes.length === 0) this.data = this.#root(document);
  }

  locate(path: SettingPath, isAtKey: boolean): Position {
    const exact = this.#offsets.get(keyOf(path));
    if (exact !== undefined) return this.#position(isAtKey ? (exact.key ?? exact.value) : exact.value);
    for (let length = path.length - 1; length > 0; length -= 1) {
      const above = this.#offsets.get(keyOf(path.slice(0, length)));
      if (above !== undefined) return this.#position(above.key ?? above.value);
    }
    return { line: 1, column: 1 };
  }

  #position(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  #complainOf(problem: YAMLError, text: string): void {
    const offset = problem.pos[0];
    const lineStart = text.lastIndexOf('\n', offset - 1) + 1;
    const line = text.slice(lineStart, text.indexOf('\n', offset) >>> 0);
    // Inside { } and [ ] a brace ends plain text, so `{ a: ${env:B} }` is torn apart.
    const hint = /[[{,].*\$\{/.test(line) ? '; quote references that stand inside { } or [ ]' : '';
    this.complain(offset, [], `${syntaxMessages[problem.code] ?? 'not valid YAML here'}${hint}`);
  }

  #root(document: Document.Parsed<ParsedNode>): unknown {
    return document.contents === null ? null : this.#value(document.contents, [], undefined);
  }

  #value(node: ParsedNode, path: SettingPath, key: number | undefined): unknown {
    this.#nodes += 1;
    if (this.#nodes > MAX_NODES) {
      if (this.#nodes === MAX_NODES + 1) this.complain(node.range[0], path, 'aliases make the configuration too large');
      return undefined;
    }
    if (isAlias(node)) return this.#alias(node.source, node.range[0], path, key);
    this.#offsets.set(keyOf(path), { value: node.range[0], key });
    if (!this.#isInAlias && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    // `!!str` aside, a tag makes values of kinds that no setting has (bytes, dates, sets).
    const isForeign = isScalar(node) && typeof node.value === 'object' && node.value !== null;
    if (isForeign || (node.tag !== undefined && node.tag !== 'tag:yaml.org,2002:str')) {
      this.complain(node.range[0], path, tagMessage);
      return undefined;
    }
    if (isScalar(node)) return node.value;
    // Only an alias can lead into a node that is still being read.
    if (this.#open.has(node)) {
      this.complain(key ?? node.range[0], path, 'an alias may not stand for something that contains it');
      return undefined;
    }
    if (path.length > MAX_DEPTH) {
      this.complain(key ?? node.range[0], path, `nested deeper than ${MAX_DEPTH} levels`);
      return undefined;
    }
    this.#open.add(node);
    const value = isSeq<ParsedNode>(node)
      ? node.items.map((item, index) => this.#value(item, [...path, index], undefined))
      : isMap<ParsedNode, ParsedNode | null>(node)
        ? this.#mapping(node.items, path)
        : undefined;
    this.#open.delete(node);
    return value;
  }

  #alias(name: string, offset: number, path: SettingPath, key: number | undefined): unknown {
    const target = this.#anchors.get(name);
    if (target === undefined) {
      this.complain(offset, path, 'an alias without an anchor before it; text that begins with * must be quoted');
      return undefined;
    }
    const wasInAlias = this.#isInAlias;
    this.#isInAlias = true;
    const value = this.#value(target, path, key);
    this.#isInAlias = wasInAlias;
    return value;
  }

  #mapping(
    items: readonly { key: ParsedNode; value: ParsedNode | null }[],
    path: SettingPath,
  ): Record<string, unknown> {
    const data: Record<string, unknown> = Object.create(null);
    const merges: { node: ParsedNode | null; offset: number }[] = [];
    for (const { key, value } of items) {
      const offset = key.range[0];
      if (!isScalar(key)) {
        this.complain(offset, path, 'a key must be a plain name');
        continue;
      }
      const name = typeof key.value === 'string' ? key.value : (key.source ?? '');
      if (name === '<<' && key.type === 'PLAIN') {
        merges.push({ node: value, offset });
      } else if (name === '__proto__') {
        this.complain(offset, path, 'not a name that a setting can have');
      } else if (Object.hasOwn(data, name)) {
        this.complain(offset, [...path, name], 'the key stands here twice', false);
      } else {
        data[name] =
          value === null ? this.#absent([...path, name], offset) : this.#value(value, [...path, name], offset);
      }
    }
    for (const { node, offset } of merges) this.#merge(data, node, path, offset);
    return data;
  }

  /** `? key` without a value. */
  #absent(path: SettingPath, key: number): null {
    this.#offsets.set(keyOf(path), { value: key, key });
    return null;
  }

  /** `<<: *a` and `<<: [*a, *b]`: keys that are not there yet, as YAML 1.1 has it. */
  #merge(data: Record<string, unknown>, node: ParsedNode | null, path: SettingPath, offset: number): void {
    const sources = isSeq<ParsedNode>(node) ? node.items : node === null ? [] : [node];
    for (const source of sources) {
      const target = isAlias(source) ? this.#anchors.get(source.source) : source;
      if (!isMap<ParsedNode, ParsedNode | null>(target) || this.#open.has(target)) {
        this.complain(offset, path, '<< takes a mapping, or an alias of one that ended before');
        continue;
      }
      const wasInAlias = this.#isInAlias;
      this.#isInAlias = isAlias(source) || wasInAlias;
      this.#open.add(target);
      const missing = target.items.filter(({ key }) => !isScalar(key) || !Object.hasOwn(data, String(key.value)));
      Object.assign(data, this.#mapping(missing, path));
      this.#open.delete(target);
      this.#isInAlias = wasInAlias;
    }
  }
}

function keyOf(path: SettingPath): string {
  return JSON.stringify(path);
}

/** Where collections are nested too deeply, without recursion. */
function findTooDeep(tokens: readonly CST.Token[]): number | undefined {
  const waiting: { token: CST.Token; depth: number }[] = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { token, depth } = next;
    if (depth > MAX_DEPTH) return token.offset;
    if (token.type === 'document') {
      if (token.value !== undefined) waiting.push({ token: token.value, depth });
    } else if ('items' in token) {
      for (const { key, value } of token.items) {
        if (key) waiting.push({ token: key, depth: depth + 1 });
        if (value) waiting.push({ token: value, depth: depth + 1 });
      }
    }
  }
  return undefined;
}

const tagMessage = 'tags and kinds of values beyond text, numbers, true and false are not used here';

const syntaxMessages: Partial<Record<YAMLError['code'], string>> = {
  BAD_ALIAS: 'an alias needs a name; text that begins with * must be quoted',
  BAD_COLLECTION_TYPE: tagMessage,
  BAD_DQ_ESCAPE: 'an unknown escape in double quotes; use single quotes, or write \\\\ for a backslash',
  BAD_INDENT: 'the indentation does not fit, or a bracket is not closed',
  BAD_SCALAR_START: 'text that begins with this character must be quoted',
  BLOCK_AS_IMPLICIT_KEY: 'no mapping or list can begin here; text that contains ": " must be quoted',
  BLOCK_IN_FLOW: 'no indented mapping or list can stand inside { } or [ ]',
  MISSING_CHAR: 'a colon, quote, comma or bracket is missing',
  MULTILINE_IMPLICIT_KEY: 'a key must stand on one line, followed by a colon',
  MULTIPLE_DOCS: 'a second document; the configuration is one document',
  RESOURCE_EXHAUSTION: 'nested too deeply',
  TAB_AS_INDENT: 'tabs may not indent; use spaces',
  TAG_RESOLVE_FAILED: tagMessage,
  UNEXPECTED_TOKEN: 'something stands here that does not belong',
};
