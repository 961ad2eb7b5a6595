// An error as the proxy answers it: problem+json (RFC 9457) with the header that marks it as ours. Pure; it shows the
// catalogue's words and our own reasons, never foreign text.
import { STATUS_CODES } from 'node:http';
import type { SidebearerError } from '../errors/sidebearer-error.ts';

export interface Problem {
  readonly status: number;
  /** The status's own phrase. */
  readonly reason: string;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** @param status where it differs from the row's: a request without a usable token is 503 whatever the cause */
export function renderProblem(error: SidebearerError, status: number = error.row.status): Problem {
  const { row, code, details } = error;
  const body = Buffer.from(
    JSON.stringify({
      type: `urn:sidebearer:error:${code}`,
      title: row.message,
      status,
      detail: details.reason === undefined ? `${row.message}.` : `${row.message}: ${details.reason}.`,
      code,
      next: error.next,
    }),
  );
  const headers = [
    'Content-Type',
    'application/problem+json',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    'Sidebearer-Error',
    code,
  ];
  if (details.retryAfterMs !== undefined) {
    headers.push('Retry-After', String(Math.max(1, Math.ceil(details.retryAfterMs / 1000))));
  }
  // RFC 9110 §15.5.6: a 405 says what is allowed.
  if (status === 405) headers.push('Allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
  return { status, reason: STATUS_CODES[status] ?? '', headers, body };
}

/** The same as bytes, for connections that have no message any more. It is the last answer on its connection. */
export function renderRawProblem(error: SidebearerError, status?: number): Buffer {
  const problem = renderProblem(error, status);
  let head = `HTTP/1.1 ${problem.status} ${problem.reason}\r\n`;
  for (let i = 0; i < problem.headers.length; i += 2) head += `${problem.headers[i]}: ${problem.headers[i + 1]}\r\n`;
  return Buffer.concat([Buffer.from(`${head}Connection: close\r\n\r\n`, 'latin1'), problem.body]);
}
