// What a token endpoint's refusal means: one table from status and provider's code to a row of the catalogue.
// Of the answer only its short code is ever kept; descriptions are foreign text and may repeat what was sent.
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { jsonObject } from './token-answer.ts';
import type { EndpointAnswer } from './token-endpoint.ts';

/** Where a provider, or a grant, differs from the table. */
export interface RejectionRules {
  /** The provider's own codes that end a grant, at any status; lower case. */
  readonly permanent: Readonly<Record<string, ErrorCode>>;
  /** `invalid_grant` at 400: of a refresh token the grant is gone; without one, what it was asked with is at fault. */
  readonly invalidGrant: 'grant_rejected' | 'client_rejected' | 'subject_token_rejected';
  /** `invalid_request` at 400, where it says more than that. */
  readonly invalidRequest?: 'subject_token_rejected';
  /** A 401 that says nothing known. */
  readonly unauthorized: 'grant_rejected' | 'client_rejected';
}

/** RFC 6749, section 5.2. */
export const standardRules: RejectionRules = {
  permanent: {},
  invalidGrant: 'grant_rejected',
  unauthorized: 'client_rejected',
};

/** One line of the table: what it takes, and what it means. */
export interface Refusal {
  readonly from: number;
  readonly to: number;
  /** The provider's code that must stand beside the status, lower case; absent: any or none. */
  readonly providerCode?: string;
  readonly code: ErrorCode;
  /** The rule that may say otherwise. */
  readonly rule?: 'invalidGrant' | 'invalidRequest' | 'unauthorized';
}

const at400 = (providerCode: string, code: ErrorCode, rule?: Refusal['rule']): Refusal => ({
  from: 400,
  to: 400,
  providerCode,
  code,
  ...(rule !== undefined && { rule }),
});

/** RFC 6749, section 5.2, and what else is seen: the first that holds. */
export const refusals: readonly Refusal[] = [
  at400('invalid_grant', 'grant_rejected', 'invalidGrant'),
  at400('invalid_client', 'client_rejected'),
  at400('unauthorized_client', 'client_rejected'),
  at400('invalid_scope', 'client_rejected'),
  at400('unsupported_grant_type', 'client_rejected'),
  // RFC 8693, section 2.2.2, and RFC 8707, section 2: the audience or resource is not for this client.
  at400('invalid_target', 'client_rejected'),
  at400('invalid_request', 'token_endpoint_refused', 'invalidRequest'),
  { from: 401, to: 401, code: 'client_rejected', rule: 'unauthorized' },
  { from: 403, to: 403, providerCode: 'unsupported_country_region_territory', code: 'region_unsupported' },
  { from: 300, to: 399, code: 'token_endpoint_redirected' },
  { from: 408, to: 408, code: 'token_endpoint_failing' },
  { from: 429, to: 429, code: 'token_endpoint_limited' },
  { from: 400, to: 499, code: 'token_endpoint_refused' },
  { from: 500, to: 599, code: 'token_endpoint_failing' },
  { from: 600, to: 999, code: 'token_endpoint_malformed' },
];

/**
 * @param answer of any status but 2xx
 * @param secrets what was sent: a provider's code that repeats one of them is left out
 */
export function rejectionOf(
  answer: EndpointAnswer,
  rules: RejectionRules,
  secrets: readonly string[],
): SidebearerError {
  const ended = permanentRejectionOf(answer, rules, secrets);
  if (ended !== undefined) return ended;
  const given = givenCodes(answer.body);
  return rejection(codeOf(answer.status, given, rules), answer, given[0], secrets);
}

/** The provider's own code for a grant that is gone, whatever the status: a 200 can carry one. */
export function permanentRejectionOf(
  answer: EndpointAnswer,
  rules: RejectionRules,
  secrets: readonly string[],
): SidebearerError | undefined {
  for (const given of givenCodes(answer.body)) {
    const name = given.toLowerCase();
    const code = Object.hasOwn(rules.permanent, name) ? rules.permanent[name] : undefined;
    if (code !== undefined) return rejection(code, answer, given, secrets);
  }
  return undefined;
}

/**
 * A foreign code as it may be shown: one word of visible ASCII, at most 100 characters, without any secret.
 * @param secrets what was sent; a code that repeats as much as a piece of one is not shown
 */
export function cleanProviderCode(given: string | null | undefined, secrets: readonly string[]): string | undefined {
  const code = given?.trim() ?? '';
  if (!/^[\x21-\x7e]+$/.test(code)) return undefined;
  // Cut before it is compared: what is foreign may be a megabyte.
  const shown = code.slice(0, MAX_CODE_LENGTH);
  return secrets.some((secret) => repeats(shown, secret)) ? undefined : shown;
}

const MAX_CODE_LENGTH = 100;

/** So long a piece of a secret stands in a code by no chance. */
const TELLING_LENGTH = 8;

/** Whole or in part, as it was sent or URL-encoded. */
function repeats(code: string, secret: string): boolean {
  if (secret === '') return false;
  if (secret.includes(code)) return true;
  const text = code.toLowerCase();
  return [secret, encodeURIComponent(secret.toWellFormed())].some((form) => {
    const piece = form.toLowerCase();
    const last = Math.max(piece.length - TELLING_LENGTH, 0);
    for (let at = 0; at <= last; at += 1) if (text.includes(piece.slice(at, at + TELLING_LENGTH))) return true;
    return false;
  });
}

function codeOf(status: number, given: readonly string[], rules: RejectionRules): ErrorCode {
  const names = given.map((name) => name.toLowerCase());
  for (const { from, to, providerCode, code, rule } of refusals) {
    if (status < from || status > to || (providerCode !== undefined && !names.includes(providerCode))) continue;
    return (rule === undefined ? undefined : rules[rule]) ?? code;
  }
  return 'token_endpoint_malformed';
}

function rejection(
  code: ErrorCode,
  { status, retryAfterMs }: EndpointAnswer,
  given: string | undefined,
  secrets: readonly string[],
): SidebearerError {
  const providerCode = cleanProviderCode(given, secrets);
  return new SidebearerError(code, {
    status,
    ...(providerCode !== undefined && { providerCode }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** The provider's own codes, at `error.code`, `error` and `code`: the three places seen. Foreign text. */
export function givenCodes(body: string): readonly string[] {
  const fields = jsonObject(body);
  if (fields === undefined) return [];
  const { error, code } = fields;
  const nested = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return [nested, error, code].filter((given) => typeof given === 'string');
}
