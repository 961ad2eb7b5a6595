// Who may end this process by POST /quitquitquit: a program in the same pod, over loopback. It judges a request and ends
// nothing itself; the pod network, and a page in a browser on the node, must get nowhere.
import type { IncomingMessage } from 'node:http';
import { BlockList, isIPv6 } from 'node:net';
import { SidebearerError } from '../errors/sidebearer-error.ts';

export const quitPath = '/quitquitquit';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * Why the request may not end the process: quit_method_unknown, quit_peer_forbidden, quit_host_forbidden or
 * quit_origin_forbidden. Undefined: it may.
 * @param isUnix the listener is a socket file: who may open it is at home here
 */
export function quitRefusal(
  { method, headers, headersDistinct, socket }: IncomingMessage,
  isUnix: boolean,
): SidebearerError | undefined {
  if (method !== 'POST') return new SidebearerError('quit_method_unknown');
  // Both ends: a mesh's proxy in the pod hands the network's connections on from an address of 127.0.0.0/8.
  if (!isUnix && !(isLoopback(socket.remoteAddress) && isLoopback(socket.localAddress))) {
    const { remoteAddress: address } = socket;
    return new SidebearerError('quit_peer_forbidden', address === undefined ? {} : { address });
  }
  // A page elsewhere may have a name of its own that leads to 127.0.0.1 (DNS rebinding).
  const [host, ...others] = headersDistinct['host'] ?? [];
  if (others.length > 0 || !namesLoopback(host)) return new SidebearerError('quit_host_forbidden');
  // A browser sends them with every POST of a page; programs send neither.
  const isFromPage = headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;
  return isFromPage ? new SidebearerError('quit_origin_forbidden') : undefined;
}

/** `::ffff:127.0.0.1` is what a listener on `::` sees of 127.0.0.1; BlockList knows. */
function isLoopback(address: string | undefined): boolean {
  return address !== undefined && loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

function namesLoopback(host: string | undefined): boolean {
  const name = /^(\[::1\]|[a-z0-9.]+)(?::\d{1,5})?$/i.exec(host ?? '')?.[1]?.toLowerCase() ?? '';
  return name === 'localhost' || name === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name);
}
