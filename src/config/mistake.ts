// What is wrong with a configuration, as data, and as a line of text. A mistake names places and what was expected
// there; it never repeats a value, which may be a secret.
import type { ErrorCode } from '../errors/catalogue.ts';

/** Keys and indexes from the top: `['routes', 0, 'upstream']`. */
export type SettingPath = readonly (string | number)[];

export type MistakeCode = Extract<ErrorCode, `config_${string}`>;

/** A place in the configuration, or the flag or environment variable that was used instead. */
export interface Place {
  readonly file: string;
  /** From 1; absent where the place is no line of a file. */
  readonly line?: number;
  readonly column?: number;
  /** `routes[0].upstream`; empty for the whole document. */
  readonly path: string;
}

export interface Mistake extends Place {
  readonly code: MistakeCode;
  /** What was expected. */
  readonly message: string;
  /** The valid name that was probably meant. */
  readonly nearest?: string;
}

/** Something that works and is probably not meant. */
export interface Warning extends Place {
  readonly message: string;
}

/** A finding before it has a place. */
export interface Finding {
  readonly code: MistakeCode;
  readonly path: SettingPath;
  readonly message: string;
  readonly nearest?: string;
  /** Points at the key instead of its value. */
  readonly isAtKey?: boolean;
}

/** A warning before it has a place. */
export interface Caution {
  readonly path: SettingPath;
  readonly message: string;
  readonly isAtKey?: boolean;
}

/** `routes[0].upstream`, with unusual keys quoted and shortened. */
export function formatPath(path: SettingPath): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[\w$-]{1,100}$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${JSON.stringify(shorten(step))}]`;
  }
  return text;
}

/** In `{ clientSecret:abc }`, where a space is missing, the value is a part of the key. */
function shorten(key: string): string {
  const shown = (/^[^:=]*[:=]/.exec(key)?.[0] ?? key).slice(0, 100);
  return shown.length < key.length ? `${shown}…` : key;
}

/** `config.yaml:3:5: config_key_unknown: routes[0].upstrem: … (did you mean upstream?)` */
export function formatMistake(mistake: Mistake): string {
  const hint = mistake.nearest === undefined ? '' : ` (did you mean ${mistake.nearest}?)`;
  return `${formatPlace(mistake)}: ${mistake.code}: ${formatSubject(mistake)}${mistake.message}${hint}`;
}

export function formatWarning(warning: Warning): string {
  return `${formatPlace(warning)}: warning: ${formatSubject(warning)}${warning.message}`;
}

function formatSubject(place: Place): string {
  return place.path === '' ? '' : `${place.path}: `;
}

function formatPlace(place: Place): string {
  return place.line === undefined ? place.file : `${place.file}:${place.line}:${place.column ?? 1}`;
}
