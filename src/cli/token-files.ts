// The files in which other programs keep a login: CLIProxyAPI's, flat or with its tokens under `token`, and the Codex
// CLI's auth.json. Read, never trusted: what is shown of them is for a person, the sidecar judges the tokens itself.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { asFields, type Fields } from './status.ts';

export interface FoundTokens {
  readonly program: 'CLIProxyAPI' | 'Codex CLI';
  readonly accessToken?: string;
  readonly refreshToken?: string;
  readonly idToken?: string;
  /** Wall ms. */
  readonly expiresAtMs?: number;
  readonly obtainedAtMs?: number;
  /** For a person to recognise. */
  readonly account?: string;
}

/** @throws import_file_unknown, import_api_key_only, import_keyring, import_disabled, import_empty */
export function readTokenFile(text: string): FoundTokens {
  const file = parse(text);
  if (file === undefined) throw new SidebearerError('import_file_unknown', { reason: 'it is no JSON object' });
  return isCodexCli(file) ? readCodexCli(file) : readCliProxyApi(file);
}

/**
 * The text without the tokens; undefined where the file holds others than `found` by now.
 * Whatever else stands in it stays.
 */
export function withoutTokens(text: string, found: FoundTokens): string | undefined {
  const file = parse(text);
  if (file === undefined) return undefined;
  const places = [file, asFields(file['token']), asFields(file['tokens'])] as Record<string, unknown>[];
  const isSame = (name: string, token: string | undefined): boolean =>
    token === undefined || places.some((place) => place[name] === token);
  if (!isSame('refresh_token', found.refreshToken) || !isSame('access_token', found.accessToken)) return undefined;
  for (const place of places) {
    for (const name of ['access_token', 'refresh_token', 'id_token']) delete place[name];
  }
  // The Codex CLI takes `tokens` whole or not at all.
  if ('tokens' in file) (file as Record<string, unknown>)['tokens'] = null;
  return `${JSON.stringify(file, null, 2)}\n`;
}

function parse(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? asFields(value) : undefined;
  } catch {
    // Not JSON: the caller says so.
    return undefined;
  }
}

function isCodexCli(file: Fields): boolean {
  return ['tokens', 'auth_mode', 'OPENAI_API_KEY'].some((name) => Object.hasOwn(file, name));
}

function readCodexCli(file: Fields): FoundTokens {
  const mode = text(file, 'auth_mode');
  const isChatGpt = mode === undefined ? text(file, 'OPENAI_API_KEY') === undefined : /^chatgpt$/i.test(mode);
  if (!isChatGpt) throw new SidebearerError('import_api_key_only');
  const tokens = asFields(file['tokens']);
  const found = readTokens(tokens);
  if (found.accessToken === undefined && found.refreshToken === undefined) throw new SidebearerError('import_keyring');
  return finish('Codex CLI', found, undefined, time(file['last_refresh']), text(tokens, 'account_id'));
}

function readCliProxyApi(file: Fields): FoundTokens {
  const { type, disabled } = file;
  if (type !== undefined && type !== 'codex') {
    throw new SidebearerError('import_file_unknown', { reason: 'its type is not codex' });
  }
  const nested = asFields(file['token']);
  const found = readTokens({ ...nested, ...file });
  const hasTokens = found.accessToken !== undefined || found.refreshToken !== undefined;
  if (!hasTokens && type === undefined) throw new SidebearerError('import_file_unknown');
  if (disabled === true) throw new SidebearerError('import_disabled');
  if (!hasTokens) throw new SidebearerError('import_empty');
  const expiresAtMs = expiryOf(file) ?? expiryOf(nested);
  const account = text(file, 'email') ?? text(file, 'account_id');
  return finish('CLIProxyAPI', found, expiresAtMs, time(file['last_refresh']), account);
}

type Tokens = Pick<FoundTokens, 'accessToken' | 'refreshToken' | 'idToken'>;

function readTokens(place: Fields): Tokens {
  const [accessToken, refreshToken, idToken] = ['access_token', 'refresh_token', 'id_token'].map((name) =>
    text(place, name),
  );
  return {
    ...(accessToken !== undefined && { accessToken }),
    ...(refreshToken !== undefined && { refreshToken }),
    ...(idToken !== undefined && { idToken }),
  };
}

function finish(
  program: FoundTokens['program'],
  tokens: Tokens,
  written: number | undefined,
  obtainedAtMs: number | undefined,
  named: string | undefined,
): FoundTokens {
  const exp = claims(tokens.accessToken)['exp'];
  const expiresAtMs = written ?? (typeof exp === 'number' ? exp * 1_000 : undefined);
  const account = text(claims(tokens.idToken), 'email') ?? named;
  return {
    program,
    ...tokens,
    ...(tokens.accessToken !== undefined && expiresAtMs !== undefined && { expiresAtMs }),
    ...(obtainedAtMs !== undefined && { obtainedAtMs }),
    ...(account !== undefined && { account }),
  };
}

/** Every name under which CLIProxyAPI and its relatives have written it. */
const expiryNames = ['expired', 'expire', 'expires_at', 'expiresAt', 'expiry', 'expires'];

function expiryOf(place: Fields): number | undefined {
  for (const name of expiryNames) {
    const found = time(place[name]);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Unix seconds end long before Unix milliseconds of any token begin. */
const FIRST_MS = 100_000_000_000;

/** Wall ms of RFC 3339, `2006-01-02 15:04:05` (UTC), Unix seconds or milliseconds, as a number or a text. */
function time(value: unknown): number | undefined {
  if (typeof value === 'string' && /^\d+$/.test(value.trim())) return time(Number(value));
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || value <= 0) return undefined;
    return Math.round(value < FIRST_MS ? value * 1_000 : value);
  }
  if (typeof value !== 'string') return undefined;
  const [, date, clock, zone] =
    /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)\s*(Z|[+-]\d\d:?\d\d)?$/i.exec(value.trim()) ?? [];
  if (date === undefined || clock === undefined) return undefined;
  const ms = Date.parse(`${date}T${clock.replace(/(\.\d{3})\d+$/, '$1')}${zone ?? 'Z'}`);
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

/** The payload of what happens to be a JWT. */
function claims(token: string | undefined): Fields {
  const [, payload = '', signature] = (token ?? '').split('.');
  if (signature === undefined) return {};
  return parse(Buffer.from(payload, 'base64url').toString('utf8')) ?? {};
}

function text(place: Fields, name: string): string | undefined {
  const value = place[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
