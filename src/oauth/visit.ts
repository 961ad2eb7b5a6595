// One request as the endpoints see it: judged by its Host, split into path and query, its sender named.
import type { IncomingMessage } from 'node:http';
import { prefersJson } from './accept.ts';
import type { Answer } from './answer.ts';
import { type Host, isJson } from './host.ts';
import type { Visitor } from './observer.ts';
import type { Texts } from './texts/english.ts';

export interface Visit {
  readonly request: IncomingMessage;
  readonly host: Host;
  readonly query: URLSearchParams;
  readonly visitor: Visitor;
  readonly wantsJson: boolean;
  /** In the language that the browser prefers. */
  readonly texts: Texts;
}

/** What answers one path and method. What it throws becomes the failure page of that error. */
export type Endpoint = (visit: Visit) => Answer | Promise<Answer>;

/** What one path answers, by method; HEAD is answered like GET. */
export interface Route {
  readonly GET?: Endpoint;
  readonly POST?: Endpoint;
  readonly DELETE?: Endpoint;
}

const MAX_USER_AGENT_LENGTH = 200;

export function visitorOf(request: IncomingMessage): Visitor {
  const userAgent = (request.headers['user-agent'] ?? '').replace(/[^\x20-\x7e]/g, '?');
  // A Unix socket has no address.
  const address = request.socket.remoteAddress ?? 'local';
  return { address, userAgent: userAgent.slice(0, MAX_USER_AGENT_LENGTH) };
}

/** The path as it came (nothing is decoded: no path of ours needs it) and the query. */
export function splitTarget(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const mark = target.indexOf('?');
  if (mark === -1) return { path: target, query: new URLSearchParams() };
  return { path: target.slice(0, mark), query: new URLSearchParams(target.slice(mark + 1)) };
}

/** A program: by what it asks for, by what it sends, or by where. */
export function wantsJson(request: IncomingMessage): boolean {
  const { headers, url } = request;
  return prefersJson(headers.accept) || isJson(request) || url?.startsWith('/api/') === true;
}
