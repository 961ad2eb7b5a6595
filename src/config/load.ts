// A configuration file → a valid Config, or every mistake in it at once, each with its place.
// Everything it reads is passed in; an operator's mistake is an answer, never an exception.

import { withDefaultReferences } from './default-references.ts';
import { toFindings } from './issues.ts';
import {
  type Caution,
  type Finding,
  formatPath,
  type Mistake,
  type Place,
  type SettingPath,
  type Warning,
} from './mistake.ts';
import { describeReadFailure, type ReferenceSources, resolveReferences } from './references.ts';
import { checkRules } from './rules.ts';
import { type Config, configSchema } from './schema.ts';
import { parseYaml, type YamlDocument } from './yaml-document.ts';

/** A setting that a flag or an environment variable gives instead of the file. */
export interface Override {
  readonly path: SettingPath;
  readonly value: string;
  /** `--listen-proxy`, `SIDEBEARER_LISTEN_PROXY`: told in place of the file. */
  readonly source: string;
}

export interface ConfigSource extends ReferenceSources {
  /** The path, for `readFile` and for mistakes. */
  readonly file: string;
  /** The text, where it has been read already (standard input). */
  readonly text?: string;
  /** Win over the file; taken as they are, references included. */
  readonly overrides?: readonly Override[];
}

export type LoadedConfig =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Warning[] }
  | { readonly ok: false; readonly mistakes: readonly Mistake[]; readonly warnings: readonly Warning[] };

export interface CheckedConfig {
  readonly mistakes: readonly Mistake[];
  readonly warnings: readonly Warning[];
}

/** Reads, resolves and validates a configuration. Never throws for what stands in it. */
export function loadConfig(source: ConfigSource): LoadedConfig {
  const { config, mistakes, warnings } = examine(source, source);
  return config === undefined ? { ok: false, mistakes, warnings } : { ok: true, config, warnings };
}

/**
 * The mistakes alone.
 * @param options with `resolveReferences: false` variables and files are not looked at, and of values that come by
 *   reference only the reference itself is checked
 */
export function checkConfig(source: ConfigSource, options: { resolveReferences: boolean }): CheckedConfig {
  const { mistakes, warnings } = examine(source, options.resolveReferences ? source : undefined);
  return { mistakes, warnings };
}

interface Examined extends CheckedConfig {
  readonly config?: Config;
}

function examine(source: ConfigSource, references: ReferenceSources | undefined): Examined {
  let text: string;
  try {
    text = source.text ?? source.readFile(source.file);
  } catch (thrown) {
    const message = `the file ${describeReadFailure(thrown)}`;
    return { mistakes: [{ code: 'config_unreadable', file: source.file, path: '', message }], warnings: [] };
  }
  const document = parseYaml(text);
  const places = new Places(source, document);
  const syntax = document.mistakes.map((mistake): Mistake => {
    const { line, column, message } = mistake;
    return { code: 'config_syntax', file: source.file, line, column, path: formatPath(mistake.path), message };
  });
  if (document.data === undefined) return { mistakes: sort(syntax), warnings: [] };

  const resolved = resolveReferences(withDefaultReferences(document.data), references);
  const data = places.apply(resolved.data);
  const parsed = configSchema.safeParse(data);
  const rules = checkRules(data);
  const findings = [
    ...resolved.findings.filter((finding) => !places.isOverridden(finding.path)),
    ...toFindings(parsed.error?.issues ?? [], data),
    ...rules.findings,
  ];
  const mistakes = sort([...syntax, ...findings.map((finding) => places.mistake(finding))]);
  const warnings = rules.cautions.map((caution) => places.warning(caution));
  return parsed.success && mistakes.length === 0 ? { config: parsed.data, mistakes, warnings } : { mistakes, warnings };
}

/** Where findings belong: to a line of the file, or to the flag that was used instead. */
class Places {
  readonly #source: ConfigSource;
  readonly #document: YamlDocument;
  readonly #overrides: readonly Override[];

  constructor(source: ConfigSource, document: YamlDocument) {
    this.#source = source;
    this.#document = document;
    this.#overrides = source.overrides ?? [];
  }

  /** The data with the overrides in it; a group that is no mapping stays as it is, for that is told anyway. */
  apply(data: unknown): unknown {
    if (this.#overrides.length === 0 || typeof data !== 'object' || data === null || Array.isArray(data)) return data;
    const copy = Object.assign(Object.create(null), data);
    for (const { path, value } of this.#overrides) {
      const [group, key] = path;
      const settings: unknown = copy[group ?? ''];
      const isAbsent = settings === undefined;
      if (!isAbsent && (typeof settings !== 'object' || settings === null || Array.isArray(settings))) continue;
      copy[group ?? ''] = Object.assign(Object.create(null), settings, { [key ?? '']: value });
    }
    return copy;
  }

  isOverridden(path: SettingPath): boolean {
    return this.#overriding(path) !== undefined;
  }

  mistake(finding: Finding): Mistake {
    const { code, message, nearest } = finding;
    return {
      code,
      ...this.#place(finding.path, finding.isAtKey),
      message,
      ...(nearest === undefined ? {} : { nearest }),
    };
  }

  warning(caution: Caution): Warning {
    return { ...this.#place(caution.path, caution.isAtKey), message: caution.message };
  }

  #overriding(path: SettingPath): Override | undefined {
    const text = formatPath(path);
    return this.#overrides.find((override) => formatPath(override.path) === text);
  }

  #place(path: SettingPath, isAtKey?: boolean): Place {
    const override = this.#overriding(path);
    if (override !== undefined) return { file: override.source, path: formatPath(path) };
    return { file: this.#source.file, ...this.#document.locate(path, isAtKey), path: formatPath(path) };
  }
}

/** In the order of the file, each once. */
function sort(mistakes: readonly Mistake[]): Mistake[] {
  const seen = new Set<string>();
  return mistakes
    .filter((mistake) => {
      const key = JSON.stringify(mistake);
      return !seen.has(key) && seen.add(key) !== undefined;
    })
    .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}
