// `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` inside text. What a reference gives is never read for
// further references, and never shown: a mistake names the variable or the file alone.
import { systemCode } from '../errors/sidebearer-error.ts';
import type { Finding, SettingPath } from './mistake.ts';
import { unresolved } from './value-kinds.ts';

export interface ReferenceSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The text of a file, as it is. @throws Node's error where it cannot be read */
  readonly readFile: (path: string) => string;
}

/**
 * A copy of `data` with every reference replaced. Text whose references lead nowhere becomes `unresolved`, and, without
 * `sources`, so does all text that has a reference.
 */
export function resolveReferences(
  data: unknown,
  sources: ReferenceSources | undefined,
): { data: unknown; findings: Finding[] } {
  const findings: Finding[] = [];
  const files = new Map<string, string>();

  const visit = (value: unknown, path: SettingPath): unknown => {
    if (typeof value === 'string') return value.includes('${') ? expand(value, path) : value;
    if (Array.isArray(value)) return value.map((item, index) => visit(item, [...path, index]));
    if (typeof value !== 'object' || value === null) return value;
    const copy: Record<string, unknown> = Object.create(null);
    for (const [key, item] of Object.entries(value)) copy[key] = visit(item, [...path, key]);
    return copy;
  };

  const expand = (text: string, path: SettingPath): unknown => {
    let isWhole = true;
    const complain = (code: Finding['code'], message: string): string => {
      if (isWhole) findings.push({ code, path, message });
      isWhole = false;
      return '';
    };
    // An unclosed `${` matches as well, without its brace.
    const expanded = text.replace(/\$\{([^}]*)(\}?)/g, (_all, inner: string, brace: string) => {
      const variable = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inner);
      const file = /^file:(.+)$/s.exec(inner)?.[1];
      if (brace === '' || (variable === null && file === undefined)) {
        return complain('config_value_invalid', 'expected ${env:NAME}, ${env:NAME:-default} or ${file:PATH}');
      }
      if (sources === undefined) {
        isWhole = false;
        return '';
      }
      return file === undefined ? readVariable(variable, sources, complain) : readText(file, sources, complain);
    });
    return isWhole ? expanded : unresolved;
  };

  const readVariable = (variable: RegExpExecArray | null, { env }: ReferenceSources, complain: Complain): string => {
    const name = variable?.[1] ?? '';
    const byDefault = variable?.[2];
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    // As in a shell, `:-` also stands in for a variable that is set and empty.
    if (byDefault !== undefined && (value === undefined || value === '')) return byDefault;
    return value ?? complain('config_reference_missing', `the environment variable ${name} is not set`);
  };

  const readText = (file: string, { readFile }: ReferenceSources, complain: Complain): string => {
    try {
      const text = files.get(file) ?? readFile(file).replace(/[\r\n]+$/, '');
      files.set(file, text);
      return text;
    } catch (thrown) {
      const name = JSON.stringify(file.slice(0, 500));
      return complain('config_reference_missing', `the file ${name} ${describeReadFailure(thrown)}`);
    }
  };

  return { data: visit(data, []), findings };
}

type Complain = (code: Finding['code'], message: string) => string;

/** Why a file cannot be read, in words. */
export function describeReadFailure(thrown: unknown): string {
  const code = systemCode(thrown);
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read by this user';
  if (code === 'EISDIR') return 'is a folder';
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'is not text in UTF-8';
  return code === undefined ? 'cannot be read' : `cannot be read (${code})`;
}
