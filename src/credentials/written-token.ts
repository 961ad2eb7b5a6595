// A token that something else writes to a file: nothing is refreshed here, the file is read again when it changes.
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { TokenFile } from '../providers/provider.ts';
import type { CredentialMemory } from './memory.ts';
import type { TokenSource } from './renewal.ts';
import { type CurrentToken, mergeAnswer } from './token-set.ts';

export function createWrittenToken(credential: string, file: TokenFile, memory: CredentialMemory): TokenSource {
  let current: CurrentToken | undefined;

  async function read(): Promise<CurrentToken> {
    const tokens = mergeAnswer(undefined, await file.read());
    if (current === undefined || current.tokens.accessToken !== tokens.accessToken) {
      current = { generation: memory.nextGeneration(), tokens };
    }
    return current;
  }

  return {
    provider: 'file',
    grant: 'file',
    login: undefined,
    breaker: 'closed',
    async read() {
      try {
        return { kind: 'token', token: await read() };
      } catch (thrown) {
        const error = toSidebearerError(thrown);
        // Who writes it in place empties it first: what was read before stays good meanwhile.
        if (error.code === 'token_file_unreadable' && isMissing(error)) return { kind: 'empty', code: error.code };
        throw error;
      }
    },
    follow: (changed) => file.watch(changed),
    async renew(host, trigger) {
      try {
        const token = await read();
        host.publish(token, true);
        // A person who asks wants the file to be read again, and that was done.
        if (host.isEnough(token) || (trigger === 'manual' && host.isValidFor(0))) return { kind: 'adopted' };
        // Not due by its expiry: it is the upstream that wants another.
        const code = host.isValidFor(0) ? 'access_token_refused' : 'access_token_expired';
        return { kind: 'failed', error: new SidebearerError(code, { credential }) };
      } catch (thrown) {
        return { kind: 'failed', error: toSidebearerError(thrown) };
      }
    },
    accept: () => Promise.reject(new SidebearerError('login_unsupported', { credential })),
    logout: () => Promise.reject(new SidebearerError('login_unsupported', { credential })),
  };
}

function isMissing({ details: { systemCode } }: SidebearerError): boolean {
  return systemCode === 'ENOENT' || systemCode === 'ENOTDIR';
}
