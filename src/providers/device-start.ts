// How a login on another device begins, whatever the provider's form of it: reading what a person is to be shown.
// All of it is foreign text that will stand on a page: an address is http or https, a code is short and on one line.
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { DeviceAuthorization, TokenCall } from './provider.ts';
import { type RejectionRules, rejectionOf } from './rejection.ts';
import { acceptedUrl } from './server-url.ts';
import { jsonObject } from './token-answer.ts';
import type { EndpointAnswer } from './token-endpoint.ts';

/** Nobody's lease is at stake. */
export const deviceCall: TokenCall = { timeoutMs: 30_000, mayBegin: () => true };

/** RFC 8628, section 3.2. */
const DEFAULT_INTERVAL_S = 5;
const LONGEST_INTERVAL_S = 600;
/** What the Codex CLI waits for, and most providers give. */
const DEFAULT_LIFE_S = 900;
const LONGEST_LIFE_S = 86_400;

export interface StartFields {
  readonly userCode: unknown;
  readonly deviceCode: unknown;
  readonly verificationUri: unknown;
  readonly verificationUriComplete?: unknown;
  readonly interval?: unknown;
  readonly expiresIn?: unknown;
}

/** @throws device_answer_malformed */
export function readDeviceAuthorization(fields: StartFields, allowHttp: boolean): DeviceAuthorization {
  const { userCode, deviceCode } = fields;
  const verificationUri = acceptedUrl(fields.verificationUri, allowHttp)?.href;
  const complete = acceptedUrl(fields.verificationUriComplete, allowHttp)?.href;
  if (typeof userCode !== 'string' || !/^[^\p{Cc}]{1,64}$/u.test(userCode)) throw malformed('the user code');
  if (typeof deviceCode !== 'string' || deviceCode === '') throw malformed('the device code');
  if (verificationUri === undefined) throw malformed('the address to open');
  return {
    userCode,
    verificationUri,
    ...(complete !== undefined && { verificationUriComplete: complete }),
    intervalMs: secondsOf(fields.interval, DEFAULT_INTERVAL_S, LONGEST_INTERVAL_S) * 1_000,
    lifeMs: secondsOf(fields.expiresIn, DEFAULT_LIFE_S, LONGEST_LIFE_S) * 1_000,
    deviceCode,
  };
}

/** The fields of an answer of 2xx. @throws device_answer_malformed */
export function startFields({ status, body }: EndpointAnswer): Readonly<Record<string, unknown>> {
  const fields = jsonObject(body);
  if (fields === undefined) throw new SidebearerError('device_answer_malformed', { status, reason: 'it is not JSON' });
  return fields;
}

/**
 * Of an answer that is not 2xx: the provider is down, or it refuses.
 * @param secrets what was sent
 */
export function startRefusal(
  answer: EndpointAnswer,
  rules: RejectionRules,
  secrets: readonly string[],
): SidebearerError {
  const { code, row, details } = rejectionOf(answer, rules, secrets);
  if (row.outcome !== 'rejected') return new SidebearerError('provider_unreachable', details);
  const reason = code === 'region_unsupported' ? row.message : undefined;
  return new SidebearerError('authorize_failed', { ...details, ...(reason !== undefined && { reason }) });
}

/** Of a start that got no answer. */
export function startFailure(thrown: unknown): SidebearerError {
  const error = toSidebearerError(thrown);
  // The way to the provider has its own advice, and a defect is none of the provider's.
  if (!error.code.startsWith('token_endpoint_')) return error;
  return new SidebearerError('provider_unreachable', error.details, error.cause);
}

/** A number, or one as text. */
function secondsOf(value: unknown, byDefault: number, longest: number): number {
  const seconds = typeof value === 'string' && /^\d{1,9}(?:\.\d+)?$/.test(value) ? Number(value) : value;
  return typeof seconds === 'number' && seconds > 0 ? Math.min(seconds, longest) : byDefault;
}

function malformed(what: string): SidebearerError {
  return new SidebearerError('device_answer_malformed', { reason: `${what} is missing or cannot be shown` });
}
