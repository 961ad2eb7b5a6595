// The way that connections take to their destinations: straight or through an egress proxy, and with which
// certificates. Data alone: connector.ts walks it. Where there is nothing to say there is no way, and nothing changes.
import type { Clock } from '../clock.ts';
import type { EgressProxy } from './egress-proxy.ts';
import type { IsExempt } from './exemptions.ts';
import type { TlsSettings } from './tls-files.ts';

export interface Way {
  /** @returns undefined: straight. @param hostname with or without brackets */
  proxyFor(hostname: string, port: number): EgressProxy | undefined;
  readonly tls: TlsSettings | undefined;
  readonly clock: Clock;
}

export interface WayOptions {
  readonly proxy: EgressProxy | undefined;
  readonly isExempt: IsExempt;
  readonly tls: TlsSettings | undefined;
  readonly clock: Clock;
}

/** @returns undefined where neither a proxy nor TLS is set */
export function createWay({ proxy, isExempt, tls, clock }: WayOptions): Way | undefined {
  if (proxy === undefined && tls === undefined) return undefined;
  return {
    proxyFor: (hostname, port) => (proxy === undefined || isExempt(hostname, port) ? undefined : proxy),
    tls,
    clock,
  };
}

/** `direct`, or the `host:port` of the egress proxy: metric label and part of a breaker's key. */
export function egressName(way: Way | undefined, url: URL): string {
  return way?.proxyFor(url.hostname, portOf(url))?.name ?? 'direct';
}

export function portOf({ protocol, port }: { readonly protocol: string; readonly port: string }): number {
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
}
