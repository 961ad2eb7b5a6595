// The file of inject and uninject: from --file or standard input, and to standard output.
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { Edit } from '../inject/edit.ts';
import type { FoundPod } from '../inject/workload.ts';
import type { Invocation } from './command.ts';
import { readFile } from './configuration.ts';

/** @throws manifest_unusable */
export async function readManifest({ flags, readStdin }: Invocation): Promise<string> {
  const path = flags.get('file')?.value ?? '-';
  try {
    if (path !== '-') return readFile(path);
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readStdin());
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
