// The token that token_exchange and jwt_bearer exchange for an access token: it stands in a file that somebody else
// renews, such as kubelet a service account's. Read anew at each use, never kept, never shown, its mode never judged.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Clock } from '../clock.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import { watchFile } from '../file-watch.ts';
import type { SubjectToken } from './provider.ts';

/** Far above any JWT; a SAML assertion with its certificates fits. */
const MAX_BYTES = 64 * 1024;

export interface SubjectTokenOptions {
  readonly path: string;
  readonly clock: Clock;
}

export function createSubjectToken({ path, clock }: SubjectTokenOptions): SubjectToken {
  return {
    async read() {
      const text = (await readBounded(path)).trim();
      if (text === '') throw new SidebearerError('subject_token_empty', { path });
      return text;
    },
    watch: (changed) => watchFile(path, clock, changed),
  };
}

async function readBounded(path: string): Promise<string> {
  let file: FileHandle | undefined;
  try {
    // A pipe that nobody writes to must not hold a thread for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile())
      throw new SidebearerError('subject_token_unreadable', { path, reason: 'it is no file' });
    // One byte more than may be there: its size, as the system tells it, may change meanwhile.
    const buffer = Buffer.alloc(MAX_BYTES + 1);
    let size = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, size, buffer.length - size);
      size += bytesRead;
      if (size > MAX_BYTES) throw new SidebearerError('subject_token_too_large', { path });
      if (bytesRead === 0) return buffer.toString('utf8', 0, size);
    }
  } catch (thrown) {
    if (thrown instanceof SidebearerError) throw thrown;
    const code = systemCode(thrown);
    throw new SidebearerError('subject_token_unreadable', { path, ...(code !== undefined && { systemCode: code }) });
  } finally {
    await file?.close();
  }
}
