// What zod found, in our words: a code, a place, what was expected and the nearest valid name.
// zod's own messages are not shown where they could repeat a value.
import type * as z from 'zod';
import { providerNames } from './credential-schema.ts';
import type { Finding, SettingPath } from './mistake.ts';
import { nearest } from './nearest.ts';
import { keysAt, providersWithKey } from './settings.ts';
import { got, unresolved } from './value-kinds.ts';

/** @param data what was validated: places are looked up in it, its values are not shown */
export function toFindings(issues: readonly z.core.$ZodIssue[], data: unknown): Finding[] {
  return issues.flatMap((issue) => toFinding(issue, data));
}

function toFinding(issue: z.core.$ZodIssue, data: unknown): Finding[] {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  const value = valueAt(data, path);
  // Of a value that a reference should have given, the missing reference is told, and nothing else.
  if (value === unresolved) return [];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey([...path, key], data));
    case 'invalid_key': {
      const message = issue.issues[0]?.message ?? 'expected another name';
      return [{ code: 'config_value_invalid', path, message, isAtKey: true }];
    }
    case 'invalid_union': {
      const message = `expected one of ${providerNames.join(', ')}${got(value)}`;
      return [{ code: codeFor(value), path, message, ...suggest(value, providerNames) }];
    }
    case 'invalid_type': {
      const message = `expected ${issue.expected === 'array' ? 'a list' : 'a mapping of settings'}`;
      return [{ code: codeFor(value), path, message: `${message}${got(value)}` }];
    }
    case 'too_small':
      return [{ code: 'config_value_missing', path, message: 'expected at least one' }];
    case 'custom': {
      const candidates: unknown = issue.params?.['candidates'];
      const names = Array.isArray(candidates) ? candidates.map(String) : [];
      return [{ code: codeFor(value), path, message: issue.message, ...suggest(value, names) }];
    }
    default:
      return [{ code: 'config_value_invalid', path, message: 'not a valid value' }];
  }
}

function codeFor(value: unknown): 'config_value_missing' | 'config_value_invalid' {
  return value === undefined ? 'config_value_missing' : 'config_value_invalid';
}

function suggest(value: unknown, names: readonly string[]): { nearest?: string } {
  const name = typeof value === 'string' ? nearest(value, names) : undefined;
  return name === undefined ? {} : { nearest: name };
}

function unknownKey(path: SettingPath, data: unknown): Finding {
  const key = String(path.at(-1));
  const above = path.slice(0, -1);
  const isCredential = above.length === 2 && above[0] === 'credentials';
  const providers = isCredential ? providersWithKey(key) : [];
  const message =
    providers.length > 0 ? `not a setting of this provider, but of ${providers.join(', ')}` : 'not a known setting';
  return { code: 'config_key_unknown', path, message, isAtKey: true, ...suggest(key, keysAt(above, data)) };
}

function valueAt(data: unknown, path: SettingPath): unknown {
  let value = data;
  for (const step of path) {
    // Below an unresolved reference everything is unresolved.
    if (value === unresolved) return unresolved;
    value =
      typeof value === 'object' && value !== null && Object.hasOwn(value, step) ? Reflect.get(value, step) : undefined;
  }
  return value;
}
