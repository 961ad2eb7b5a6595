// What a call of a token endpoint comes to where no status decides: no answer, or one of 2xx that is not what it should
// be. Refusals are the table of rejection.ts. docs/token-answers.md is made of both, and a test meets each line over a
// real socket (test/providers/token-outcomes.test.ts).
import type { ErrorCode } from '../errors/catalogue.ts';

export interface TokenOutcome {
  readonly id: string;
  /** What came, in words. */
  readonly what: string;
  readonly code: ErrorCode;
}

/** No whole answer came. */
export const withoutAnswer = [
  { id: 'dns', what: 'The name does not resolve', code: 'token_endpoint_unreachable' },
  { id: 'refused', what: 'The connection is refused', code: 'token_endpoint_unreachable' },
  { id: 'late', what: 'No connection stands within `refresh.timeout`', code: 'token_endpoint_unreachable' },
  {
    id: 'tls',
    what: 'The TLS handshake fails: its certificate is not accepted, it ends the handshake, or it speaks no TLS',
    code: 'token_endpoint_unreachable',
  },
  {
    id: 'reset-before',
    what: 'The connection is reset before the request was begun',
    code: 'token_endpoint_unreachable',
  },
  { id: 'egress-down', what: 'The egress proxy does not answer', code: 'egress_unreachable' },
  { id: 'egress-refuses', what: 'The egress proxy refuses the tunnel', code: 'egress_refused' },
  { id: 'lease', what: 'The lease ran out, or the process stops, before the first byte', code: 'lease_lost' },
  {
    id: 'reset-after',
    what: 'Reset or closed after the first byte of the request (as TLS 1.3 does where it does not accept our certificate)',
    code: 'token_endpoint_no_answer',
  },
  { id: 'cut', what: 'Reset or closed within the answer', code: 'token_endpoint_no_answer' },
  { id: 'slow', what: 'No whole answer within `refresh.timeout`', code: 'token_endpoint_no_answer' },
  { id: 'no-http', what: 'An answer that is not HTTP', code: 'token_endpoint_no_answer' },
] as const satisfies readonly TokenOutcome[];

/** An answer of 2xx that is none. */
export const unusableAnswers = [
  { id: 'empty', what: '2xx with nothing', code: 'token_endpoint_malformed' },
  { id: 'huge', what: '2xx above 1 MiB', code: 'token_endpoint_malformed' },
  { id: 'html', what: '2xx with HTML', code: 'token_endpoint_malformed' },
  { id: 'torn', what: '2xx with JSON that is cut off', code: 'token_endpoint_malformed' },
  { id: 'no-object', what: '2xx with JSON that is no object', code: 'token_endpoint_malformed' },
  {
    id: 'no-token',
    what: '2xx with JSON without a token, or with tokens that are no text',
    code: 'token_endpoint_malformed',
  },
  {
    id: 'not-ascii',
    what: '2xx whose only token is an access token that is not visible ASCII',
    code: 'access_token_malformed',
  },
] as const satisfies readonly TokenOutcome[];

/** A field of an answer that holds a token: passed over with a warning where it is odd, never a reason to lose tokens. */
export const oddFields = [
  {
    field: 'expires_in',
    odd: 'null, 0 or below, above 100 years, text that is no number, a list, true',
    consequence:
      'The end is unknown, as where it is missing: no schedule, a 401 of the upstream alone. Codex: the `exp` of the token, else 8 days.',
  },
  {
    field: 'refresh_token',
    odd: 'null, empty, no text',
    consequence: 'The one that was sent stays, as where it is missing.',
  },
  {
    field: 'access_token',
    odd: 'missing, null, empty, no text; not visible ASCII (`access_token_malformed`)',
    consequence:
      'The refresh token beside it is kept, the access token in hand goes on, and it is tried again after a pause.',
  },
  {
    field: 'id_token',
    odd: 'null, no text; oidc: unreadable, of another issuer or client',
    consequence: 'The account stays as it is.',
  },
  { field: 'token_type', odd: 'null, no text, neither Bearer nor N_A', consequence: 'It is used as a Bearer token.' },
  { field: 'scope', odd: 'no text', consequence: 'Nothing: it is not read.' },
  {
    field: 'refresh_token_expires_in, refresh_expires_in',
    odd: 'as `expires_in`; of the second 0 is no end, as Keycloak says it',
    consequence: "The grant's end is unknown.",
  },
] as const;
