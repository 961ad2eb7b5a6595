// A token that something else writes to a file (a projected service account token, an agent's sink): read on demand,
// watched through its folder. Never written, and its mode is never judged: kubelet's files are symlinks owned by root.
import { readFile } from 'node:fs/promises';
import type { Clock } from '../clock.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import { watchFile } from '../file-watch.ts';
import { jwtExpiresAtMs } from './jwt-claims.ts';
import type { TokenFile } from './provider.ts';
import { isVisibleAscii } from './token-answer.ts';

export interface TokenFileOptions {
  readonly path: string;
  readonly clock: Clock;
}

export function createTokenFile({ path, clock }: TokenFileOptions): TokenFile {
  return {
    async read() {
      const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
        const code = systemCode(thrown);
        throw new SidebearerError('token_file_unreadable', { path, ...(code !== undefined && { systemCode: code }) });
      });
      const accessToken = text.trim();
      if (accessToken === '') throw new SidebearerError('token_file_unreadable', { path, reason: 'it is empty' });
      if (!isVisibleAscii(accessToken)) throw new SidebearerError('access_token_malformed', { path });
      const expiresAtMs = jwtExpiresAtMs(accessToken);
      return {
        accessToken,
        ...(expiresAtMs !== undefined && { expiresAtMs }),
        obtainedAtMs: clock.wallMs(),
        warnings: [],
      };
    },
    watch: (changed) => watchFile(path, clock, changed),
  };
}
