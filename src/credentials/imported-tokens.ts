// Tokens that another program had, as if a token endpoint had answered with them. What could never work is refused
// here, before it can take the place of something that does.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { TokenAnswer } from '../providers/provider.ts';
import type { ImportedTokens } from './bearer.ts';

const visibleAscii = /^[\x21-\x7e]+$/;

/** @throws import_empty, access_token_malformed */
export function answerOfImport(imported: ImportedTokens, nowMs: number, credential: string): TokenAnswer {
  const { accessToken, refreshToken, obtainedAtMs = nowMs } = imported;
  if (accessToken === undefined && refreshToken === undefined)
    throw new SidebearerError('import_empty', { credential });
  if (accessToken !== undefined && !visibleAscii.test(accessToken)) {
    throw new SidebearerError('access_token_malformed', { credential });
  }
  // A moment to come is another machine's wrong clock.
  return { ...imported, obtainedAtMs: Math.min(obtainedAtMs, nowMs), warnings: [] };
}
