// Reads a request target (RFC 9112 §3.2) into the host it names and the path it asks for. Neither ever chooses the
// destination: the host only picks a route, the path only follows the upstream's own.
import { SidebearerError } from '../errors/sidebearer-error.ts';

export interface Target {
  /** The authority of an absolute-form target, lower-cased, without port; it outranks `Host` (RFC 9112 §3.2.2). */
  readonly host: string | undefined;
  /** Path and query, byte for byte; begins with a slash. */
  readonly path: string;
}

/** @throws request_target_unsupported, request_malformed */
export function readTarget(target: string): Target {
  // A fragment is never sent; an upstream that takes `#` for one would see another path than the router did.
  if (target.includes('#')) throw malformed('a # in the request target');
  if (target.charCodeAt(0) === 0x2f) return { host: undefined, path: target };
  const match = /^https?:\/\/([^/?\\]*)(.*)$/is.exec(target);
  if (match === null) throw new SidebearerError('request_target_unsupported');
  const [, authority = '', rest = ''] = match;
  if (rest.startsWith('\\')) throw malformed('a backslash after the authority');
  const host = hostOf(authority);
  if (host === undefined) throw malformed('the authority of the request target');
  return { host, path: rest.startsWith('/') ? rest : `/${rest}` };
}

/** The authority of an absolute-form target, port included, in the client's spelling. */
export function authorityOf(target: string): string | undefined {
  return /^https?:\/\/([^/?\\]*)/i.exec(target)?.[1];
}

/**
 * The name in a `Host` or authority, lower-cased, without port and final dot; undefined where it is none (empty,
 * userinfo, spaces, two colons outside brackets).
 */
export function hostOf(authority: string): string | undefined {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]+)(?::\d{0,5})?$/.exec(authority);
  const name = match?.[1]?.toLowerCase();
  return name?.endsWith('.') ? name.slice(0, -1) : name;
}

function malformed(reason: string): SidebearerError {
  return new SidebearerError('request_malformed', { reason });
}
