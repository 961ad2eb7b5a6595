// What a route tells its upstream about the way a request took: `Forwarded` (RFC 7239), `X-Forwarded-*` or `Via`
// (RFC 9110 §7.6.3). Built at set-up, and nothing where all of it is off: then the client's own such headers pass as they
// came. It never lets a client's words hide ours, and never says more of us than a fixed name.
import { isIPv6 } from 'node:net';
import type { Arrival } from './message.ts';

export interface ForwardingOptions {
  readonly forwarded: 'none' | 'x-forwarded' | 'forwarded';
  readonly via: boolean;
}

/** @param headers those for the upstream, changed in place. @param host the authority that the client named */
export type Forwarding = (headers: string[], arrival: Arrival, host: string | undefined) => void;

/** A name that tells nothing of the machine; RFC 9110 allows one in place of a host. */
const PSEUDONYM = 'sidebearer';

export function createForwarding({ forwarded, via }: ForwardingOptions): Forwarding | undefined {
  if (forwarded === 'none' && !via) return undefined;
  return (headers, arrival, host) => {
    if (forwarded === 'forwarded') {
      append(headers, 'Forwarded', forwardedElement(arrival, host), isForwardedList);
    } else if (forwarded === 'x-forwarded') {
      append(headers, 'X-Forwarded-For', addressOf(arrival) ?? 'unknown', () => true);
      // One value each: of two nobody could say which is meant, so that ours takes the place.
      take(headers, 'x-forwarded-host');
      if (host !== undefined) headers.push('X-Forwarded-Host', host);
      take(headers, 'x-forwarded-proto');
      headers.push('X-Forwarded-Proto', schemeOf(arrival));
    }
    if (via) append(headers, 'Via', `${arrival.version} ${PSEUDONYM}`, isViaList);
  };
}

function forwardedElement(arrival: Arrival, host: string | undefined): string {
  const address = addressOf(arrival);
  const node = address === undefined ? 'unknown' : isIPv6(address) ? `"[${address}]"` : address;
  const named = host === undefined ? '' : `;host=${quoted(host)}`;
  return `for=${node}${named};proto=${schemeOf(arrival)}`;
}

/** A port or brackets make it no token. What admission lets through as a host has neither quotes nor backslashes. */
function quoted(host: string): string {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(host) ? host : `"${host}"`;
}

/** An IPv4 client of a socket for both families is told as what it is; a zone means something on this machine alone. */
function addressOf({ address }: Arrival): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}

function schemeOf({ isSecure }: Arrival): string {
  return isSecure ? 'https' : 'http';
}

/**
 * Our element after those that came, all on one line, for there are servers that read one line alone. A list in which an
 * open quote or comment would swallow ours is left out.
 */
function append(headers: string[], name: string, element: string, isClosed: (list: string) => boolean): void {
  const list = take(headers, name.toLowerCase()).join(', ');
  headers.push(name, list !== '' && isClosed(list) ? `${list}, ${element}` : element);
}

/** Takes the header's lines out and gives their values; look-alikes go as well, and without one. */
function take(headers: string[], name: string): string[] {
  const values: string[] = [];
  let kept = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const own = headers[i] ?? '';
    const value = headers[i + 1] ?? '';
    const lower = own.toLowerCase();
    if (lower === name) {
      if (value.trim() !== '') values.push(value.trim());
    } else if (lower.replaceAll('_', '-') !== name) {
      headers[kept] = own;
      headers[kept + 1] = value;
      kept += 2;
    }
  }
  headers.length = kept;
  return values;
}

/** Quotes open at the beginning of a value and are closed at its end: more lenient than RFC 7239, but not about that. */
function isForwardedList(list: string): boolean {
  return /^(?:[^"\\]|(?<==)"(?:[^"\\]|\\.)*"(?=[\t ]*(?:[;,]|$)))*$/.test(list);
}

/** Comments are closed, and parentheses stand nowhere else. */
function isViaList(list: string): boolean {
  return /^(?:[^()\\]|\((?:[^()\\]|\\.)*\))*$/.test(list);
}
