// A login ends with the client that it was begun with. A reload may have put another one in its place meanwhile: the
// provider's answer is sent to nobody else then, and its tokens are not stored as another's.
import { SidebearerError } from '../errors/sidebearer-error.ts';

/**
 * @param begunWith absent: it was begun by a version that did not say
 * @throws state_unknown
 */
export function assertSameClient(begunWith: string | undefined, now: { readonly boundTo?: string } | undefined): void {
  if (begunWith === undefined || begunWith === now?.boundTo) return;
  const reason = 'the credential was changed to another client since it was started';
  throw new SidebearerError('state_unknown', { reason });
}
