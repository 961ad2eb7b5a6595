// Errors of one credential with the next step that is right for it: where a login would help and none can be had here,
// the catalogue's advice to log in would send people the wrong way.
import { catalogue, type ErrorCode, type ErrorRow } from '../errors/catalogue.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';

export interface Advice {
  /** @param retryAfterMs undefined where waiting does not help */
  error(code: ErrorCode, retryAfterMs: number | undefined): SidebearerError;
  /** The error with the next step that is right here. */
  advised(error: SidebearerError): SidebearerError;
  nextStep(code: ErrorCode): string;
}

/** @param insteadOfLogin asked each time; undefined: log in */
export function createAdvice(credential: string, insteadOfLogin: () => string | undefined): Advice {
  function otherStep(code: ErrorCode): string | undefined {
    const row: ErrorRow = catalogue[code];
    const instead = insteadOfLogin();
    if (row.remedy !== 'login' || instead === undefined) return undefined;
    // A record that cannot be used may be put right in another way as well.
    return row.layer === 'store' ? `${row.next} ${instead}` : instead;
  }

  return {
    error(code, retryAfterMs) {
      const next = otherStep(code);
      return new SidebearerError(code, {
        credential,
        ...(retryAfterMs !== undefined && { retryAfterMs }),
        ...(next !== undefined && { next }),
      });
    },
    advised(error) {
      const next = otherStep(error.code);
      return next === undefined ? error : new SidebearerError(error.code, { ...error.details, next }, error.cause);
    },
    nextStep: (code) => otherStep(code) ?? catalogue[code].next,
  };
}
