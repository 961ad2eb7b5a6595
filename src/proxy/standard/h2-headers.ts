// Header lists between the contract's form (name, value, …, as on the wire of HTTP/1.1) and HTTP/2's. It decides
// nothing about which headers cross.
import type { OutgoingHttpHeaders } from 'node:http';

/** What HTTP/2 does not know (RFC 9113 §8.2.2); `te` is given by the carrier itself. */
const forbidden: ReadonlySet<string> = new Set([
  'connection',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Names in lower case, equal names one after the other where the first of them stood, none of them merged.
 * @param first pseudo-headers
 */
export function h2Headers(first: Readonly<Record<string, string>>, raw: readonly string[]): OutgoingHttpHeaders {
  // Without a prototype `__proto__` is a name as any other.
  const headers: OutgoingHttpHeaders = Object.assign(Object.create(null), first);
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase();
    const value = raw[i + 1] ?? '';
    if (forbidden.has(name)) continue;
    const known = headers[name];
    if (known === undefined) headers[name] = value;
    else if (Array.isArray(known)) known.push(value);
    else headers[name] = [String(known), value];
  }
  return headers;
}

/** The list without pseudo-headers. */
export function endToEnd(raw: readonly string[]): string[] {
  const list: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (!name.startsWith(':')) list.push(name, raw[i + 1] ?? '');
  }
  return list;
}

/** The first value of a name that stands in lower case, as HTTP/2's do. */
export function firstValue(raw: readonly string[], name: string): string | undefined {
  for (let i = 0; i < raw.length; i += 2) if (raw[i] === name) return raw[i + 1];
  return undefined;
}

/** What a request's list says of its target, and the rest as HTTP/1.1 writes it. */
export interface H2RequestHead {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
}

/**
 * `:authority` is told as `Host`, crumbs of a cookie as one (RFC 9113 §8.2.3), a body without a length as chunked.
 * A `Host` that differs from `:authority` stays, for the request then names two.
 */
export function h1RequestHead(raw: readonly string[], hasBody: boolean): H2RequestHead {
  let method = '';
  let target = '';
  let authority: string | undefined;
  let cookieAt = -1;
  let hasLength = false;
  const rest: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    if (name === ':method') method = value;
    else if (name === ':path') target = value;
    else if (name === ':authority') authority = value;
    else if (name.startsWith(':') || (name === 'host' && value === authority)) continue;
    else if (name === 'cookie' && cookieAt >= 0) rest[cookieAt] = `${rest[cookieAt]}; ${value}`;
    else {
      if (name === 'cookie') cookieAt = rest.length + 1;
      else if (name === 'content-length') hasLength = true;
      rest.push(name, value);
    }
  }
  const rawHeaders = authority === undefined ? rest : ['host', authority, ...rest];
  if (hasBody && !hasLength) rawHeaders.push('transfer-encoding', 'chunked');
  return { method, target, rawHeaders };
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;

export function isWritable(raw: readonly string[]): boolean {
  for (let i = 0; i < raw.length; i += 2) {
    if (!token.test(raw[i] ?? '') || !fieldValue.test(raw[i + 1] ?? '')) return false;
  }
  return true;
}
