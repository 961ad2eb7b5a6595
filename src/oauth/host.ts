// The names under which a browser may reach this port, and whether a request comes from our own pages.
// A page elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding) and can post forms: both stop here.
import type { IncomingMessage } from 'node:http';
import { SidebearerError } from '../errors/sidebearer-error.ts';

/** Where the browser believes it is. */
export interface Host {
  /** Lower case; `[::1]` keeps its brackets. */
  readonly name: string;
  /** 80 where the header names none. */
  readonly port: number;
}

const loopbackNames: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

export function isLoopbackName(name: string): boolean {
  return loopbackNames.has(name);
}

/**
 * @param redirectUris of every credential with a login; asked only where the name is none of loopback's
 * @throws host_forbidden: absent, doubled, malformed or another's
 */
export function checkHost(request: IncomingMessage, redirectUris: () => Iterable<string>): Host {
  const host = parseHost(headerValues(request, 'host'));
  if (host === undefined) throw new SidebearerError('host_forbidden');
  if (isLoopbackName(host.name)) return host;
  for (const uri of redirectUris()) if (new URL(uri).hostname === host.name) return host;
  throw new SidebearerError('host_forbidden');
}

function parseHost(values: readonly string[]): Host | undefined {
  const [value, ...others] = values;
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i.exec(value ?? '');
  if (match?.[1] === undefined || others.length > 0) return undefined;
  return { name: match[1].toLowerCase(), port: match[2] === undefined ? 80 : Number(match[2]) };
}

/**
 * What changes something must come from a page of ours (`Origin` is the request's own Host, whatever the scheme: TLS may end before
 * us), or from a program: without `Origin`, as JSON, which no form can send.
 * @throws origin_forbidden
 */
export function checkOrigin(request: IncomingMessage): void {
  const origins = headerValues(request, 'origin');
  const [origin] = origins;
  if (origin === undefined) {
    // Nor can a form send DELETE, and a browser says where a script that does comes from.
    if (isJson(request) || request.method === 'DELETE') return;
  } else if (origins.length === 1 && /^https?:\/\/[\w.:[\]-]+$/.test(origin)) {
    const scheme = origin.slice(0, origin.indexOf(':'));
    const [from, here] = [URL.parse(origin), URL.parse(`${scheme}://${request.headers.host}`)];
    if (from !== null && here !== null && from.host === here.host) return;
  }
  throw new SidebearerError('origin_forbidden');
}

/** `Content-Type: application/json`, parameters aside. */
export function isJson(request: IncomingMessage): boolean {
  return mediaType(request) === 'application/json';
}

export function mediaType(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

/** Every value of a header, as often as it was sent: Node keeps the first of some and hides the others. */
function headerValues(request: IncomingMessage, name: string): string[] {
  return request.headersDistinct[name] ?? [];
}
