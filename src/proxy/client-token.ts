// Who may call the proxy, where that is not anybody who reaches it: a client shows a shared token in a header. The
// header goes no further than here; what is compared takes the same time however much of it is right.
import { createHash, timingSafeEqual } from 'node:crypto';
import { SidebearerError } from '../errors/sidebearer-error.ts';

export interface ClientToken {
  /** Name of the header; never sent to an upstream. */
  readonly header: string;
  /** Visible ASCII. A secret. */
  readonly token: string;
}

/** @throws client_token_missing, client_token_wrong. @param rawHeaders name, value, … */
export type AssertClient = (rawHeaders: readonly string[]) => void;

export function createClientCheck({ header, token }: ClientToken): AssertClient {
  const name = header.toLowerCase();
  const expected = digest(token);
  return (rawHeaders) => {
    let shown: string | undefined;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      if (rawHeaders[i]?.toLowerCase() !== name) continue;
      // Of two, somebody else may judge the other one.
      if (shown !== undefined) throw new SidebearerError('client_token_wrong', { reason: 'there is more than one' });
      shown = rawHeaders[i + 1] ?? '';
    }
    if (shown === undefined) throw new SidebearerError('client_token_missing');
    if (!timingSafeEqual(digest(shown), expected)) throw new SidebearerError('client_token_wrong');
  };
}

/** Of one length whatever is shown. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'latin1').digest();
}
