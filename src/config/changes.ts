// What differs between two configurations, by the names of settings, and which of it a running process cannot change.
// Names alone: a value may be a secret.
import { formatPath, type SettingPath } from './mistake.ts';
import type { Config } from './schema.ts';
import { listSettings, type Setting } from './settings.ts';

export interface Changes {
  /** `routes[0].upstream`, `credentials.api.clientSecret`; a whole route or credential that came or went by its name. */
  readonly applied: readonly string[];
  /** The same, of those that need a restart. */
  readonly fixed: readonly string[];
}

let bySetting: ReadonlyMap<string, Setting> | undefined;

export function changesBetween(before: Config, after: Config): Changes {
  bySetting ??= new Map(listSettings().map((setting) => [setting.path, setting]));
  const applied = new Set<string>();
  const fixed = new Set<string>();
  for (const path of differences(before, after, [])) {
    const setting = settingAt(path, bySetting);
    (isFixed(setting.pattern, bySetting) ? fixed : applied).add(formatPath(setting.path));
  }
  // Clients would have to change with it, and keys that come or go leave what was sealed behind.
  if (hasTls(before) !== hasTls(after)) fixed.add('listen.tls');
  if (hasKeys(before) !== hasKeys(after)) fixed.add('store.keys');
  return { applied: [...applied], fixed: [...fixed] };
}

const hasTls = ({ listen }: Config): boolean => listen.tls.cert !== undefined;
const hasKeys = ({ store }: Config): boolean => store.keys.length > 0;

/** Where the two differ, as deep as both go. */
function* differences(before: unknown, after: unknown, path: SettingPath): Generator<SettingPath> {
  if (Object.is(before, after)) return;
  if (!isMapping(before) || !isMapping(after) || Array.isArray(before) !== Array.isArray(after)) {
    yield path;
    return;
  }
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const step = Array.isArray(before) ? Number(key) : key;
    yield* differences(before[key], after[key], [...path, step]);
  }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The setting that the difference lies in: below it is what its value is made of. */
function settingAt(path: SettingPath, settings: ReadonlyMap<string, Setting>): { path: SettingPath; pattern: string } {
  let pattern = '';
  let found = { path: path.slice(0, 1), pattern: String(path[0] ?? '') };
  for (const [at, step] of path.entries()) {
    if (typeof step === 'number') pattern += '[]';
    else if (pattern === 'credentials') pattern += '.NAME';
    else pattern += pattern === '' ? step : `.${step}`;
    // Between a list or a mapping and its settings stands the name of one of its members.
    if (!settings.has(pattern) && pattern !== 'credentials.NAME' && pattern !== 'routes[]') break;
    found = { path: path.slice(0, at + 1), pattern };
  }
  return found;
}

function isFixed(pattern: string, settings: ReadonlyMap<string, Setting>): boolean {
  return settings.get(pattern)?.needsRestart === true;
}
