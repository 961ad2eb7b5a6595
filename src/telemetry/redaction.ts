// The last net under every log line: whatever stands under a secret's name, and whatever looks like a token, is
// taken out at any depth. It is defence in depth: nothing may rely on it.
import { publishedStates } from '../credentials/bearer.ts';
import { catalogue } from '../errors/catalogue.ts';
import { describeFailure } from './failure-fields.ts';

export const CENSORED = '[redacted]';
const MAX_DEPTH = 8;
const MAX_ITEMS = 100;
const MAX_TEXT = 4_096;

/** Names end in one of these, once in lower case and without separators: `Set-Cookie`, `subjectToken`, `api_key`. */
const secretName =
  /(?:tokens?|secrets?|passwords?|passwd|passphrase|authorization|cookies?|verifier|assertion|nonce|sealed|apikey|privatekey|accesskey|clientkey|keys|devicecode|usercode|deviceauthid)$/;

/** Names that carry a secret in OAuth and a harmless word in our own lines: these words may stand. */
const harmlessValues: Readonly<Record<string, ReadonlySet<unknown>>> = {
  code: new Set(Object.keys(catalogue)),
  state: new Set([...publishedStates, 'closed', 'open', 'half_open']),
};

const bearerText = /\b(Bearer|Basic|DPoP)\s+[\w.~+/=-]+/gi;
const jwtText = /\beyJ[\w-]{4,}\.[\w-]*(?:\.[\w-]*)*/g;
/** To its end, or to that of the text where the end is missing. */
const privateKeyText =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z ]*PRIVATE KEY-----)?/g;
const userinfoText = /(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s@"']+@/gi;
const parameterText =
  /\b(code|device_code|user_code|state|nonce|[a-z_]*token|[a-z_]*secret|password|code_verifier|[a-z_]*assertion)=[^&\s#"'<>]+/gi;

const jsonText =
  /(["'])(code|device_code|user_code|device_auth_id|state|nonce|\w*token|\w*secret|password|code_verifier|\w*assertion|authorization|cookie)\1\s*:\s*(["'])(?:\\.|(?!\3).)*\3/gi;

/** A line's fields, safe to print: plain data, bounded in depth and breadth. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactEntries(Object.entries(fields), 0);
}

/** A text with bearer values, JWTs, URL passwords and OAuth's query parameters taken out. */
export function redactText(text: string): string {
  const bounded = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return bounded
    .replace(privateKeyText, CENSORED)
    .replace(bearerText, `$1 ${CENSORED}`)
    .replace(jwtText, CENSORED)
    .replace(userinfoText, `$1${CENSORED}@`)
    .replace(jsonText, `$1$2$1:$3${CENSORED}$3`)
    .replace(parameterText, `$1=${CENSORED}`);
}

function redactEntries(entries: readonly (readonly [string, unknown])[], depth: number): Record<string, unknown> {
  return Object.fromEntries(
    entries.slice(0, MAX_ITEMS).map(([name, value]) => [name, isHidden(name, value) ? CENSORED : redact(value, depth)]),
  );
}

function redact(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'function') return typeof value;
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MAX_DEPTH) return '[deep]';
  if (value instanceof Error) return redactEntries(Object.entries(describeFailure(value)), depth + 1);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return '[bytes]';
  if (value instanceof URL) return redactText(`${value.origin}${value.pathname}`);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'invalid' : value.toISOString();
  if (Array.isArray(value)) return redactArray(value, depth);
  const prototype: unknown = Object.getPrototypeOf(value);
  // Anything with a class may hide tokens in private fields, getters or toJSON: only plain data is printed.
  if (prototype !== Object.prototype && prototype !== null) return `[${value.constructor.name}]`;
  return redactEntries(Object.entries(value), depth + 1);
}

/** Also raw headers, which are name, value, name, value …, and pairs of a name and a value. */
function redactArray(items: readonly unknown[], depth: number): unknown[] {
  return items.slice(0, MAX_ITEMS).map((item, index) => {
    const before: unknown = items[index - 1];
    if (typeof before === 'string' && before.length <= 64 && isHidden(before, item)) return CENSORED;
    return redact(item, depth + 1);
  });
}

function isHidden(name: string, value: unknown): boolean {
  const plain = name.toLowerCase().replace(/[^a-z0-9]/g, '');
  const harmless = Object.hasOwn(harmlessValues, plain) ? harmlessValues[plain] : undefined;
  if (harmless !== undefined) return value !== undefined && !harmless.has(value);
  // A flag tells that there is one; a number may be a short password.
  return secretName.test(plain) && value !== undefined && typeof value !== 'boolean';
}
