// Which destinations never go through an egress proxy: this machine, and what `noProxy` lists. It looks at names and
// addresses as they are written and never asks DNS: what a name resolves to is the proxy's business.
import { BlockList, isIP } from 'node:net';

/** @param hostname of a URL, with or without brackets */
export type IsExempt = (hostname: string, port: number) => boolean;

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');
// What listens on every address is reached under these, too.
loopback.addAddress('0.0.0.0', 'ipv4');
loopback.addAddress('::', 'ipv6');

/**
 * The list as NO_PROXY is commonly written, separated by commas or spaces: `*`; `host` (with everything below it);
 * `.suffix` and `*.suffix` (below it alone); an address; a CIDR range; each with or without `:port`. An entry that is
 * none of these exempts nothing.
 */
export function createExemptions(noProxy: string): IsExempt {
  const rules = noProxy
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .map(createRule);
  return (hostname, port) => {
    const host = canonical(hostname);
    return isLoopback(host) || rules.some((matches) => matches(host, port));
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || contains(loopback, host);
}

function contains(list: BlockList, host: string): boolean {
  const family = isIP(host);
  return family !== 0 && list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

function createRule(entry: string): IsExempt {
  const { host, port } = split(entry);
  const matches = createHostRule(canonical(host));
  return (hostname, destination) => (port === undefined || port === destination) && matches(hostname);
}

function createHostRule(host: string): (hostname: string) => boolean {
  if (host === '*') return () => true;
  const list = addresses(host);
  if (list !== undefined) return (hostname) => contains(list, hostname);
  const suffix = host.startsWith('*.') ? host.slice(1) : host.startsWith('.') ? host : `.${host}`;
  const isWhole = suffix !== host && !host.startsWith('*.');
  return (hostname) => hostname.endsWith(suffix) || (isWhole && hostname === host);
}

/** An address or a range of them. */
function addresses(text: string): BlockList | undefined {
  const [address = '', prefix, more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more !== undefined) return undefined;
  const longest = family === 4 ? 32 : 128;
  const length = prefix === undefined ? longest : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!(length <= longest)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6');
  return list;
}

/** A bare IPv6 address has colons, too, and no port. */
function split(entry: string): { host: string; port: number | undefined } {
  if (isIP(entry.split('/', 1)[0] ?? '') === 6) return { host: entry, port: undefined };
  const match = /^(\[[^\]]*\](?:\/\d+)?|[^:]*):(\d{1,5})$/.exec(entry);
  return match === null ? { host: entry, port: undefined } : { host: match[1] ?? '', port: Number(match[2]) };
}

function canonical(host: string): string {
  const bare = host.replace(/^\[([^\]]*)\]/, '$1').toLowerCase();
  return bare.length > 1 && bare.endsWith('.') ? bare.slice(0, -1) : bare;
}
