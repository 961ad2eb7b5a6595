// The kinds of values that settings have: each reads one raw YAML value, refuses it in words that say what was
// expected, and describes itself for editors and docs. A refusal never repeats the value.
import { createPrivateKey } from 'node:crypto';
import * as z from 'zod';
import { type EgressProxy, parseEgressProxy } from '../egress/egress-proxy.ts';
import { type ListenAddress, parseListenAddress } from '../listen.ts';
import {
  durationForm,
  durationPattern,
  readDuration,
  readShare,
  readSize,
  shareForm,
  sharePattern,
  sizeForm,
  sizePattern,
} from './units.ts';

/** What docs say of a kind. */
export interface Kind {
  readonly type: string;
  /** The unit of the value in `Config`. */
  readonly unit?: string;
  readonly isSecret?: boolean;
}

/** Which schema is of which kind. */
export const kinds = z.registry<Kind>();

/** Where a reference stood that could not be, or was not to be, resolved: no mistake is made of such a value. */
export const unresolved = Symbol('unresolved reference');

/** A reference, for editors: it may stand where any value is expected. */
const referencePattern = '\\$\\{(env|file):[^}]+\\}';

type Refuse = (expected: string, candidates?: readonly string[]) => never;

/** Where every reader begins: one for all, for every start makes some hundred kinds. */
const anything = z.unknown();

/** One kind of value. `json` is its JSON Schema, references apart. */
export function kindOf<T>(
  kind: Kind,
  json: Readonly<Record<string, unknown>>,
  read: (raw: unknown, refuse: Refuse) => T,
) {
  const reader = z.transform((raw: unknown, context): T => {
    const refuse: Refuse = (expected, candidates) => {
      context.issues.push({
        code: 'custom',
        message: `expected ${expected}${got(raw)}`,
        input: undefined,
        params: { candidates },
      });
      return z.NEVER;
    };
    return raw === unresolved ? refuse('a reference that can be resolved') : read(raw, refuse);
  });
  return z.pipe(anything, reader).register(z.globalRegistry, withReference(json)).register(kinds, kind);
}

function withReference(json: Readonly<Record<string, unknown>>): Record<string, unknown> {
  if (json['type'] !== 'string') return { anyOf: [json, { type: 'string', pattern: referencePattern }] };
  if (typeof json['pattern'] === 'string') return { ...json, pattern: `${json['pattern']}|${referencePattern}` };
  return { ...json };
}

/** The type that came instead, where it is another one than text. */
export function got(raw: unknown): string {
  if (raw === undefined || typeof raw === 'string') return '';
  if (raw === null) return ', got nothing';
  if (Array.isArray(raw)) return ', got a list';
  if (typeof raw === 'object') return ', got a mapping';
  return typeof raw === 'number' || typeof raw === 'boolean' ? `, got a ${typeof raw}` : '';
}

/** A number with a unit, from text. */
function measure(
  kind: Kind,
  form: string,
  pattern: string,
  read: (text: string) => number | undefined,
  above0: boolean,
) {
  const expected = above0 ? `${form}, above 0` : form;
  return kindOf(kind, { type: 'string', pattern }, (raw, refuse) => {
    const value = typeof raw === 'string' ? read(raw) : undefined;
    return value === undefined || (above0 && value === 0) ? refuse(expected) : value;
  });
}

export const duration = () =>
  measure({ type: 'duration', unit: 'ms' }, durationForm, durationPattern, readDuration, false);
export const positiveDuration = () =>
  measure({ type: 'duration', unit: 'ms' }, durationForm, durationPattern, readDuration, true);
export const size = () => measure({ type: 'size', unit: 'bytes' }, sizeForm, sizePattern, readSize, false);
export const positiveSize = () => measure({ type: 'size', unit: 'bytes' }, sizeForm, sizePattern, readSize, true);
export const share = () => measure({ type: 'percentage', unit: 'fraction' }, shareForm, sharePattern, readShare, false);

/** A whole number; digits as text are taken too, for that is what references give. */
export function integer(minimum: number, maximum: number) {
  return kindOf({ type: 'number' }, { type: 'integer', minimum, maximum }, (raw, refuse) => {
    const value = typeof raw === 'string' && /^\d{1,15}$/.test(raw) ? Number(raw) : raw;
    return typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum
      ? value
      : refuse(`a whole number from ${minimum} to ${maximum}`);
  });
}

const readFlag = (raw: unknown): boolean | undefined =>
  raw === true || raw === 'true' ? true : raw === false || raw === 'false' ? false : undefined;

export function flag() {
  return kindOf(
    { type: 'true or false' },
    { type: 'boolean' },
    (raw, refuse) => readFlag(raw) ?? refuse('true or false'),
  );
}

/** `auto`, or a flag. */
export function autoFlag() {
  return kindOf({ type: 'auto, true or false' }, { enum: ['auto', true, false] }, (raw, refuse): 'auto' | boolean =>
    raw === 'auto' ? 'auto' : (readFlag(raw) ?? refuse('auto, true or false')),
  );
}

export function choice<const T extends readonly string[]>(values: T) {
  return kindOf({ type: values.join(', ') }, { enum: [...values] }, (raw, refuse): T[number] => {
    const value = values.find((candidate) => candidate === raw);
    return value ?? refuse(`one of ${values.join(', ')}`, values);
  });
}

/** Text of a certain form; `expected` says which. */
export function text(expected: string, pattern: RegExp) {
  return kindOf({ type: 'text' }, { type: 'string', pattern: pattern.source }, (raw, refuse) =>
    typeof raw === 'string' && pattern.test(raw) ? raw : refuse(expected),
  );
}

/** Text without control characters. */
function oneLine(kind: Kind, expected: string) {
  return kindOf(kind, { type: 'string', minLength: 1 }, (raw, refuse) =>
    typeof raw === 'string' && /^[^\p{Cc}]+$/u.test(raw) ? raw : refuse(expected),
  );
}

export const line = (expected: string) => oneLine({ type: 'text' }, expected);

export const lineOrEmpty = (expected: string) =>
  kindOf({ type: 'text' }, { type: 'string' }, (raw, refuse) =>
    typeof raw === 'string' && /^[^\p{Cc}]*$/u.test(raw) ? raw : refuse(expected),
  );

/** Text that is never shown. */
export const secret = (expected: string) => oneLine({ type: 'secret', isSecret: true }, expected);

/** A private key in PEM or as a JWK, kept as text. Which kinds of keys serve is known where it signs. */
export const privateKey = () =>
  kindOf({ type: 'secret', isSecret: true }, { type: 'string', minLength: 1 }, (raw, refuse) =>
    typeof raw === 'string' && isPrivateKey(raw) ? raw : refuse('an unencrypted private key, in PEM or as a JWK'),
  );

function isPrivateKey(text: string): boolean {
  try {
    createPrivateKey(text.trimStart().startsWith('{') ? { key: JSON.parse(text), format: 'jwk' } : text);
    return true;
  } catch {
    return false;
  }
}

/** A secret that stands in a header as it is. */
export const secretToken = () =>
  kindOf({ type: 'secret', isSecret: true }, { type: 'string', minLength: 16 }, (raw, refuse) =>
    typeof raw === 'string' && /^[!-~]{16,1024}$/.test(raw) ? raw : refuse('16 to 1024 visible ASCII characters'),
  );

export function listenAddress() {
  return kindOf(
    { type: 'address' },
    { type: 'string' },
    (raw, refuse): ListenAddress =>
      (typeof raw === 'string' ? parseListenAddress(raw) : undefined) ?? refuse('host:port or unix:/path'),
  );
}

export function listenAddressOrOff() {
  return kindOf({ type: 'address, or off' }, { type: 'string' }, (raw, refuse): ListenAddress | 'off' =>
    raw === 'off'
      ? 'off'
      : ((typeof raw === 'string' ? parseListenAddress(raw) : undefined) ?? refuse('host:port, unix:/path or off')),
  );
}

/** The URL of an egress proxy, or nothing: an empty variable says that there is none. Its userinfo is a secret. */
export function egressProxy() {
  return kindOf({ type: 'proxy URL', isSecret: true }, { type: 'string' }, (raw, refuse): EgressProxy | undefined => {
    if (raw === '') return undefined;
    const proxy = typeof raw === 'string' ? parseEgressProxy(raw) : undefined;
    return proxy ?? refuse('an http or https URL of a proxy such as http://proxy.example:3128, without path');
  });
}

/** An absolute http or https URL without user and fragment; kept as written, for issuers are compared by letter. */
export function url(options: { mayHaveQuery: boolean; example: string }) {
  const without = options.mayHaveQuery ? 'user and fragment' : 'user, query and fragment';
  return kindOf({ type: 'URL' }, { type: 'string', pattern: '^https?://' }, (raw, refuse) => {
    if (typeof raw !== 'string' || !/^https?:\/\/[^\s\\\p{Cc}]+$/u.test(raw) || !URL.canParse(raw)) {
      return refuse(`an http or https URL such as ${options.example}`);
    }
    const { username, password } = new URL(raw);
    // An empty query or fragment (`https://host/?`) shows in the text alone.
    if (username !== '' || password !== '' || raw.includes('#') || (!options.mayHaveQuery && raw.includes('?'))) {
      return refuse(`a URL without ${without}`);
    }
    return raw;
  });
}

/** The URL of a Redis server; user and password in it make it a secret. */
export function redisUrl() {
  return kindOf({ type: 'Redis URL', isSecret: true }, { type: 'string', pattern: '^rediss?://' }, (raw, refuse) => {
    const expected = 'a redis or rediss URL such as rediss://user:password@redis.example:6379/0';
    if (typeof raw !== 'string' || !/^rediss?:\/\/[^\s\\?#\p{Cc}]+$/u.test(raw) || !URL.canParse(raw))
      return refuse(expected);
    const { hostname, pathname, username, password } = new URL(raw);
    const isWhole = hostname !== '' && /^(\/\d{0,5})?$/.test(pathname) && [username, password].every(isPercentEncoded);
    return isWhole ? raw : refuse(expected);
  });
}

function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** 32 bytes in base64, kept as text. */
export function sealKey() {
  return kindOf({ type: 'secret', isSecret: true }, { type: 'string' }, (raw, refuse) => {
    const isKey =
      typeof raw === 'string' &&
      /^[A-Za-z0-9+/]{43}=$/.test(raw) &&
      Buffer.from(raw, 'base64').toString('base64') === raw;
    return isKey ? raw : refuse('32 bytes in base64, as `openssl rand -base64 32` prints');
  });
}
