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
  readonly nominated: ReadonlySet<string>;
}

/** Headers of one connection (RFC 9110 §7.6.1), and what was meant for a proxy, that is for us. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
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
/** A set, as a client may nominate thousands. */
const nobody: ReadonlySet<string> = new Set();

/**
 * @throws request_malformed: no, two or empty `Host` on HTTP/1.1; a transfer coding on HTTP/1.0 or next to
 *   `Content-Length`, `chunked` twice or not at the end (RFC 9112 §6.1, §6.3)
 * @throws request_coding_unknown: another one before the final `chunked`
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
    const coding = transferEncoding.trim().toLowerCase();
    if (coding !== 'chunked') {
      // Its end can be told, only not what it says; anything else could end in two places.
      if (/^(?:(?!chunked[\t ]*,)[\w!#$%&'*+.^`|~-]+[\t ]*,[\t ]*)+chunked$/.test(coding)) {
        throw new SidebearerError('request_coding_unknown');
      }
      throw malformed('the Transfer-Encoding');
    }
  }
  if (contentLength !== undefined && !/^\d{1,15}$/.test(contentLength)) throw malformed('the Content-Length');
  if (host === undefined && !head.isHttp10) throw malformed('no Host');
  return {
    host,
    hasBody: transferEncoding !== undefined || (contentLength !== undefined && !/^0+$/.test(contentLength)),
    acceptsTrailers,
    expect: expect === undefined || head.isHttp10 ? undefined : expect.trim().toLowerCase(),
    secFetchSite: secFetchSite?.trim().toLowerCase(),
    nominated: connection === undefined ? nobody : nominations(connection),
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
  nominated: ReadonlySet<string>,
  injected: ReadonlySet<string>,
  authorization: readonly string[],
): string[] {
  const headers: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const lower = name.toLowerCase();
    if (notForwarded.has(lower) || nominated.has(lower)) continue;
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
export function clientHeaders(raw: readonly string[], status: number, mayHaveTrailers: boolean): string[] {
  // A client that believed it would wait for a body, or take the next answer for one (RFC 9110 §8.6).
  const mayHaveLength = status >= 200 && status !== 204;
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
    if (lower === 'content-length') {
      if (!mayHaveLength) continue;
      hasLength = true;
    } else if (lower === 'trailer') {
      hasTrailer = true;
    }
    headers.push(name, value);
  }
  const nominated = connection === undefined ? nobody : nominations(connection);
  const dropsTrailer = hasTrailer && (hasLength || !mayHaveTrailers);
  if (nominated.size === 0 && !dropsTrailer) return headers;
  return headers.filter((_, i) => {
    const lower = (headers[i - (i % 2)] ?? '').toLowerCase();
    return !nominated.has(lower) && !(dropsTrailer && lower === 'trailer');
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
function nominations(connection: string): ReadonlySet<string> {
  let names: Set<string> | undefined;
  for (const option of connection.split(',')) {
    const name = option.trim().toLowerCase();
    if (name === '' || name === 'keep-alive' || name === 'close') continue;
    names ??= new Set();
    names.add(name);
  }
  return names ?? nobody;
}

function canonical(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

function malformed(reason: string): SidebearerError {
  return new SidebearerError('request_malformed', { reason });
}
