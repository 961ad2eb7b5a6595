// Answers as values, and the one place that writes them: every one gets the secure headers, whatever it says.
// It must never let an answer out without them, nor end a connection with bytes unread (gentle-server.ts).
import type { IncomingMessage, ServerResponse } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Markup } from './html.ts';
import type { PageScript } from './pages/scripts.ts';
import { styleSource } from './pages/style.ts';

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: string;
  /** What goes on after the head, for as long as the browser stays; there is no body then. */
  readonly stream?: (response: ServerResponse) => void;
}

/**
 * What every answer carries. `same-origin` as the referrer policy: with `no-referrer` a form's Origin would be null.
 * @param formTargets origins, besides our own, that a form's answer may lead to. Chromium holds `form-action` against
 *   every redirect, and a provider may send the browser on to further ones that nobody here knows (a broker): beyond
 *   the named origins any https one is allowed. docs/decisions/001-form-action.md
 * @param script the one that the page has
 */
function secureHeaders(formTargets: readonly string[] = [], script?: PageScript): Record<string, string> {
  const beyond = formTargets.length > 0 ? ['https:'] : [];
  const formAction = ["'self'", ...new Set(formTargets.map(sourceOf)), ...beyond].join(' ');
  return {
    'content-security-policy':
      `default-src 'none'; style-src ${styleSource}; img-src data:; form-action ${formAction}; ` +
      (script === undefined ? '' : `script-src ${script.source}; `) +
      (script?.connects === true ? "connect-src 'self'; " : '') +
      "frame-ancestors 'none'; base-uri 'none'",
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'same-origin',
    'cache-control': 'no-store',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  };
}

/** A policy cannot name an IPv6 address: there its scheme must do. */
function sourceOf(origin: string): string {
  return origin.includes('[') ? new URL(origin).protocol : origin;
}

export function pageAnswer(
  status: number,
  page: Markup,
  needs: { readonly formTargets?: readonly string[]; readonly script?: PageScript } = {},
): Answer {
  const headers = { ...secureHeaders(needs.formTargets, needs.script), 'content-type': 'text/html; charset=utf-8' };
  return { status, headers, body: page.toString() };
}

export function streamAnswer(contentType: string, stream: (response: ServerResponse) => void): Answer {
  return { status: 200, headers: { ...secureHeaders(), 'content-type': contentType }, body: '', stream };
}

export function jsonAnswer(status: number, value: unknown): Answer {
  const headers = { ...secureHeaders(), 'content-type': 'application/json' };
  return { status, headers, body: `${JSON.stringify(value, undefined, 2)}\n` };
}

export function textAnswer(status: number, text: string): Answer {
  return { status, headers: { ...secureHeaders(), 'content-type': 'text/plain; charset=utf-8' }, body: text };
}

export function redirectAnswer(status: 302 | 303, location: string): Answer {
  return { status, headers: { ...secureHeaders(), location }, body: '' };
}

/** RFC 9457, for programs. */
export function problemAnswer(error: SidebearerError): Answer {
  const { row, details } = error;
  const problem = {
    type: 'about:blank',
    title: row.message,
    status: row.status,
    ...(details.reason === undefined ? {} : { detail: details.reason }),
    code: error.code,
    next: error.next,
    ...(details.credential === undefined ? {} : { credential: details.credential }),
    ...(details.providerCode === undefined ? {} : { provider_code: details.providerCode }),
  };
  const headers = { ...secureHeaders(), 'content-type': 'application/problem+json' };
  return { status: row.status, headers, body: `${JSON.stringify(problem, undefined, 2)}\n` };
}

export function withHeaders(answer: Answer, headers: Readonly<Record<string, string | string[]>>): Answer {
  return { ...answer, headers: { ...answer.headers, ...headers } };
}

/** Writes the answer whole; where the browser has left, nothing. @param isLast the server is stopping */
export function sendAnswer(request: IncomingMessage, response: ServerResponse, answer: Answer, isLast: boolean): void {
  if (response.destroyed || response.socket?.writable !== true) return;
  // A body that is still coming is not waited for: the answer goes first, the rest is read into nothing.
  const isCutShort = !request.complete && hasBody(request);
  request.resume();
  if (answer.stream !== undefined && request.method !== 'HEAD') {
    response.writeHead(answer.status, { ...answer.headers, connection: 'close' });
    response.flushHeaders();
    answer.stream(response);
    return;
  }
  response.writeHead(answer.status, {
    ...answer.headers,
    'content-length': Buffer.byteLength(answer.body),
    ...(isCutShort || isLast ? { connection: 'close' } : {}),
  });
  response.end(answer.body);
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return (length !== undefined && length !== '0') || request.headers['transfer-encoding'] !== undefined;
}

/** The same for bytes that were no request: there is no response object then. */
export function serializeAnswer(answer: Answer): string {
  const lines = [`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}`];
  for (const [name, value] of Object.entries(answer.headers)) lines.push(`${name}: ${String(value)}`);
  lines.push(`content-length: ${Buffer.byteLength(answer.body)}`, 'connection: close');
  return `${lines.join('\r\n')}\r\n\r\n${answer.body}`;
}
