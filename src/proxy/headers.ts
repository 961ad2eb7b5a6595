// Which headers cross the proxy: end-to-end ones as they came, with order, spelling and duplicates; never those of one
// connection, never the client's own credentials, and exactly one of each header that we inject. It reads a head for
// what the semantics need (RequestFacts) and refuses what two parties could read in two ways.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { RequestHead } from './message.ts';

/** What a request's headers say about the request itself. */
export interface RequestFacts {
  /** The one `Host`, as it came. */
  readonly host: string | undefined;
  readonly hasBody: boolean;
  /** `TE` has `trailers`. */
  readonly acceptsTrailers: boolean;
  /** The value of `Expect`, trimmed and lower-cased; not on HTTP/1.0, where it has no meaning. */
  readonly expect: string | undefined;
  /** Lower-cased. */
  readonly secFetchSite: string | undefined;
  /** Lower-cased names that `Connection` nominates. */
  readonly nominated: readonly string[];
}

/** Headers of one connection (RFC 9110 §7.6.1), and what was meant for a proxy, that is for us. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Besides, on requests: `Host` is the upstream's; `Expect` is answered by the carrier; no trailers are sent, so none
 * are announced.
 */
const notForwarded: ReadonlySet<string> = new Set([...hopByHop, 'expect', 'host', 'http2-settings', 'trailer']);

/** Only we may say it. */
const errorHeader = 'sidebearer-error';

const none: readonly string[] = [];

/**
 * @throws request_malformed: no, two or empty `Host` on HTTP/1.1; a transfer coding besides the one `chunked`, or any
 *   on HTTP/1.0, or next to `Content-Length` (RFC 9112 §6.1, §6.3)
 */
export function readRequestFacts(head: RequestHead): RequestFacts {
  const raw = head.rawHeaders;
  let host: string | undefined;
  let contentLength: string | undefined;
  let transferEncoding: string | undefined;
  let connection: string | undefined;
  let expect: string | undefined;
  let secFetchSite: string | undefined;
  let acceptsTrailers = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    // The length is told without looking at the characters: it spares most headers the lower-casing.
    switch (name.length) {
      case 2:
        if (name.toLowerCase() === 'te') acceptsTrailers ||= /(?:^|,)[ \t]*trailers[ \t]*(?:,|$)/i.test(value);
        break;
      case 4:
        if (name.toLowerCase() === 'host') {
          if (host !== undefined) throw malformed('more than one Host');
          host = value;
        }
        break;
      case 6:
        if (name.toLowerCase() === 'expect') expect = expect === undefined ? value : `${expect}, ${value}`;
        break;
      case 10:
        if (name.toLowerCase() === 'connection')
          connection = connection === undefined ? value : `${connection},${value}`;
        break;
      case 14: {
        const lower = name.toLowerCase();
        if (lower === 'content-length') {
          if (contentLength !== undefined) throw malformed('more than one Content-Length');
          contentLength = value;
        } else if (lower === 'sec-fetch-site') {
          secFetchSite = value;
        }
        break;
      }
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') {
          if (transferEncoding !== undefined) throw malformed('more than one Transfer-Encoding');
          transferEncoding = value;
        }
        break;
    }
  }
  if (transferEncoding !== undefined) {
    if (head.isHttp10) throw malformed('Transfer-Encoding on HTTP/1.0');
    if (contentLength !== undefined) throw malformed('Transfer-Encoding and Content-Length');
    if (transferEncoding.trim().toLowerCase() !== 'chunked') throw malformed('a transfer coding other than chunked');
  }
  if (contentLength !== undefined && !/^\d{1,15}$/.test(contentLength)) throw malformed('the Content-Length');
  if (host === undefined && !head.isHttp10) throw malformed('no Host');
  return {
    host,
    hasBody: transferEncoding !== undefined || (contentLength !== undefined && !/^0+$/.test(contentLength)),
    acceptsTrailers,
    expect: expect === undefined || head.isHttp10 ? undefined : expect.trim().toLowerCase(),
    secFetchSite: secFetchSite?.trim().toLowerCase(),
    nominated: connection === undefined ? none : nominations(connection),
  };
}

/** The names under which a client could pass off a header of its own as one that we inject. */
export function createInjectedNames(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.map(canonical));
}

/**
 * The client's end-to-end headers, without its own of those that we inject, then ours.
 * @param injected from `createInjectedNames`
 * @param authorization name, value, …
 */
export function upstreamHeaders(
  raw: readonly string[],
  nominated: readonly string[],
  injected: ReadonlySet<string>,
  authorization: readonly string[],
): string[] {
  const headers: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const lower = name.toLowerCase();
    if (notForwarded.has(lower) || nominated.includes(lower)) continue;
    // Servers that hand headers on as variables (CGI, WSGI) cannot tell `_` from `-`.
    if (injected.has(lower.includes('_') ? lower.replaceAll('_', '-') : lower)) continue;
    headers.push(name, raw[i + 1] ?? '');
  }
  for (const part of authorization) headers.push(part);
  return headers;
}

/** Whether an answer has no transfer coding besides the one `chunked`, which the carrier has taken off. */
export function isFramedClearly(raw: readonly string[]): boolean {
  let isChunked = false;
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i]?.length !== 17 || raw[i]?.toLowerCase() !== 'transfer-encoding') continue;
    if (isChunked || raw[i + 1]?.trim().toLowerCase() !== 'chunked') return false;
    isChunked = true;
  }
  return true;
}

/**
 * The upstream's end-to-end headers for the client.
 * @param mayHaveTrailers whether an answer to this request could carry trailers at all
 */
export function clientHeaders(raw: readonly string[], mayHaveTrailers: boolean): string[] {
  const headers: string[] = [];
  let connection: string | undefined;
  let hasLength = false;
  let hasTrailer = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    const lower = name.toLowerCase();
    if (hopByHop.has(lower)) {
      if (lower === 'connection') connection = connection === undefined ? value : `${connection},${value}`;
      continue;
    }
    if (lower === errorHeader) continue;
    if (lower === 'content-length') hasLength = true;
    else if (lower === 'trailer') hasTrailer = true;
    headers.push(name, value);
  }
  const nominated = connection === undefined ? none : nominations(connection);
  const dropsTrailer = hasTrailer && (hasLength || !mayHaveTrailers);
  if (nominated.length === 0 && !dropsTrailer) return headers;
  return headers.filter((_, i) => {
    const lower = (headers[i - (i % 2)] ?? '').toLowerCase();
    return !nominated.includes(lower) && !(dropsTrailer && lower === 'trailer');
  });
}

/** Trailers that may go to the client: never framing, routing or our own mark (RFC 9110 §6.5.1). */
export function clientTrailers(raw: readonly string[]): readonly string[] {
  if (raw.length === 0) return none;
  const trailers: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const lower = (raw[i] ?? '').toLowerCase();
    if (hopByHop.has(lower) || lower === errorHeader || lower === 'content-length' || lower === 'trailer') continue;
    trailers.push(raw[i] ?? '', raw[i + 1] ?? '');
  }
  return trailers;
}

/** `Keep-alive`, `close` and `upgrade` are options, not names, but naming them does no harm: they are dropped anyway. */
function nominations(connection: string): readonly string[] {
  const names: string[] = [];
  for (const option of connection.split(',')) {
    const name = option.trim().toLowerCase();
    if (name !== '' && name !== 'keep-alive' && name !== 'close') names.push(name);
  }
  return names;
}

function canonical(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

function malformed(reason: string): SidebearerError {
  return new SidebearerError('request_malformed', { reason });
}
