// What the proxy tells the outside, typed. Nothing here may throw.
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Challenge } from './challenge.ts';

export type ReplayOutcome = 'accepted' | 'refused_again' | 'body_too_large' | 'refresh_failed';

export interface RequestEnd {
  /** Configured name or index of the route; undefined where none matched. */
  readonly route: string | undefined;
  readonly method: string;
  /** Status sent to the client; 0 where it left before there was one. */
  readonly status: number;
  /** The client or the upstream left before the answer was whole. */
  readonly aborted: boolean;
  readonly durationMs: number;
  /** From the request sent to the first byte of the final answer's head, ms; undefined where there was none. */
  readonly upstreamTtfbMs: number | undefined;
  readonly error?: SidebearerError;
}

export interface ProxyObserver {
  requestBegan(route: string): void;
  requestEnded(end: RequestEnd): void;
  replayed(route: string, outcome: ReplayOutcome): void;
  /** The upstream refused a token with 401 or 403 and named why, in a word of its registry. */
  challenged(route: string, credential: string, challenge: Challenge): void;
  /** +1 at an established upgrade, −1 at its end. */
  upgradesChanged(route: string, delta: 1 | -1): void;
  /** A failure outside any request: bytes that are no request, a socket error. */
  failed(error: SidebearerError): void;
}
