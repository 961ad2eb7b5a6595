// The file of inject and uninject: from --file or standard input, and to standard output. Nothing of it is changed on the
// way, a byte order mark included.
import { readFileSync } from 'node:fs';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { Edit } from '../inject/edit.ts';
import type { FoundPod } from '../inject/workload.ts';
import type { Invocation } from './command.ts';

/** @throws manifest_unusable */
export async function readManifest({ flags, readStdin }: Invocation): Promise<string> {
  const path = flags.get('file')?.value ?? '-';
  try {
    const bytes = path === '-' ? await readStdin() : readFileSync(path);
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (thrown) {
    const code = systemCode(thrown);
    const isText = code === 'ERR_ENCODING_INVALID_ENCODED_DATA';
    const reason = isText ? 'it is not text in UTF-8' : 'it cannot be read';
    throw new SidebearerError('manifest_unusable', {
      reason,
      ...(path !== '-' && { path }),
      ...(code !== undefined && { systemCode: code }),
    });
  }
}

/** @throws manifest_unusable */
export async function writeManifest(
  { out }: Invocation,
  text: string,
  decide: (found: FoundPod) => readonly Edit[],
): Promise<void> {
  const { editManifest } = await import('../inject/manifest.ts');
  out(editManifest(text, decide).replace(/\n$/, ''));
}
