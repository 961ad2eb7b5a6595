// Reads a token endpoint's 2xx answer, leniently: a refresh token that was given is never lost to an odd field
// beside it (providers rotate, and the old one is gone). Oddities become warnings that name the field, never values.
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { TokenAnswer } from './provider.ts';
import type { EndpointAnswer } from './token-endpoint.ts';

/** A hundred years: above it a life is a slip, not a life. */
const MAX_LIFE_S = 3_155_760_000;

/** What may stand in an `Authorization` header after the scheme. */
const visibleAscii = /^[\x21-\x7e]+$/;

/** The second: an exchange for what is no access token (RFC 8693, section 2.2.1), used all the same. */
const knownTypes: ReadonlySet<string> = new Set(['bearer', 'n_a']);

export function isVisibleAscii(token: string): boolean {
  return visibleAscii.test(token);
}

/**
 * @param answer of a 2xx status
 * @returns at least one of `accessToken` and `refreshToken`
 * @throws token_endpoint_malformed neither is there; access_token_malformed: the only one cannot stand in a header
 */
export function readTokenAnswer({ status, body, sentAtMs }: EndpointAnswer): TokenAnswer {
  const fields = jsonObject(body);
  if (fields === undefined) {
    const reason = body.trim() === '' ? 'it is empty, or too large' : 'it is not a JSON object';
    throw new SidebearerError('token_endpoint_malformed', { status, reason });
  }

  const warnings: { code: ErrorCode; field: string }[] = [];
  const warn = (field: string, code: ErrorCode = 'token_answer_odd'): undefined => {
    warnings.push({ code, field });
  };
  const text = (field: string): string | undefined => {
    const value = fields[field];
    if (typeof value === 'string' && value !== '') return value;
    return value === undefined ? undefined : warn(field);
  };
  const endMs = (field: string): number | undefined => {
    const value = fields[field];
    if (value === undefined) return undefined;
    const lifeS = lifeOf(value);
    return lifeS === undefined ? warn(field) : sentAtMs + Math.floor(lifeS * 1_000);
  };

  const refreshToken = text('refresh_token');
  const givenToken = text('access_token');
  const isUsable = givenToken !== undefined && isVisibleAscii(givenToken);
  if (givenToken !== undefined && !isUsable) {
    if (refreshToken === undefined) throw new SidebearerError('access_token_malformed', { status });
    warn('access_token', 'access_token_malformed');
  }
  if (givenToken === undefined) {
    if (refreshToken === undefined) {
      const reason = 'it holds neither an access token nor a refresh token';
      throw new SidebearerError('token_endpoint_malformed', { status, reason });
    }
    if (fields['access_token'] === undefined) warn('access_token');
  }

  const idToken = text('id_token');
  const expiresAtMs = endMs('expires_in');
  // Keycloak says 0 for an offline grant that has no end.
  const grantEndField =
    fields['refresh_token_expires_in'] === undefined ? 'refresh_expires_in' : 'refresh_token_expires_in';
  const grantExpiresAtMs = fields[grantEndField] === 0 ? undefined : endMs(grantEndField);
  const tokenType = text('token_type');
  if (tokenType !== undefined && !knownTypes.has(tokenType.toLowerCase())) warn('token_type');
  if (fields['scope'] !== undefined && typeof fields['scope'] !== 'string') warn('scope');

  return {
    ...(isUsable && { accessToken: givenToken }),
    ...(refreshToken !== undefined && { refreshToken }),
    ...(idToken !== undefined && { idToken }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(grantExpiresAtMs !== undefined && { grantExpiresAtMs }),
    obtainedAtMs: sentAtMs,
    warnings,
  };
}

/** The body as a JSON object, or undefined. Whatever the content type says: many are wrong. */
export function jsonObject(body: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function lifeOf(value: unknown): number | undefined {
  const lifeS = typeof value === 'string' && /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : value;
  return typeof lifeS === 'number' && lifeS > 0 && lifeS <= MAX_LIFE_S ? lifeS : undefined;
}
