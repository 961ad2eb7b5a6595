// The carriers that the suite runs on, and where one of them cannot carry what HTTP allows: each such difference is safe,
// stands in docs/transparency.md under the same name, and is asserted by the test that meets it.
import t, { type Test } from 'tap';
import { startProxy } from '../_proxy.ts';

export type Difference =
  | 'answer-version-unseen'
  | 'asterisk-form'
  | 'expect-answered-here'
  | 'head-with-first-byte'
  | 'header-places'
  | 'interim-reason'
  | 'length-zero'
  | 'methods'
  | 'reason-bytes'
  | 'request-protocol-unseen'
  | 'request-trailers'
  | 'reset-of-unread-upload'
  | 'tls-close-unseen'
  | 'unasked-100';

export interface Carrier {
  readonly name: string;
  readonly start: typeof startProxy;
  readonly differences: ReadonlySet<Difference>;
}

export const carriers: readonly Carrier[] = [
  {
    name: 'standard',
    start: startProxy,
    differences: new Set([
      'answer-version-unseen',
      'asterisk-form',
      'expect-answered-here',
      'head-with-first-byte',
      'header-places',
      'interim-reason',
      'length-zero',
      'methods',
      'reason-bytes',
      'request-protocol-unseen',
      'request-trailers',
      'reset-of-unread-upload',
      'tls-close-unseen',
      'unasked-100',
    ]),
  },
];

/** Declares a test once for each carrier. */
export function onEachCarrier(name: string, body: (t: Test, carrier: Carrier) => Promise<void>): void {
  for (const carrier of carriers) t.test(`${carrier.name}: ${name}`, (t) => body(t, carrier));
}
