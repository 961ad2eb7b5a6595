// The webhook's certificate and key, read from files that somebody else replaces (kubelet swaps a symlink, cert-manager
// the Secret behind it). A new pair that cannot be used is told, and the one in use goes on. No key's text is ever told.
import { X509Certificate } from 'node:crypto';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../clock.ts';
import { assertCertificates, openPair, readPem } from '../egress/tls-files.ts';
import { watchFile } from '../file-watch.ts';

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

export interface Certificate {
  /** PEM, with its chain. */
  readonly cert: string;
  readonly key: string;
  readonly expiresAtMs: number;
}

/** A folder that raises no events would be noticed by an expired certificate alone, ms. */
const LOOK_INTERVAL_MS = 300_000;
/** Where a change cannot be used, it is read once more after this, ms. */
const SECOND_LOOK_MS = 1_000;

/** @throws tls_file_unusable */
export async function readCertificate(files: CertificateFiles): Promise<Certificate> {
  const [cert, key] = await Promise.all([readPem(files.cert, '--tls-cert'), readPem(files.key, '--tls-key')]);
  assertCertificates(cert, files.cert, '--tls-cert');
  openPair({ cert, key }, files.key, '--tls-key');
  return { cert, key, expiresAtMs: Date.parse(new X509Certificate(cert).validTo) };
}

/**
 * Reads again whenever the files change.
 * @param replaced with a pair that differs from the last one and can be used
 * @param refused with a tls_file_unusable; once for each change, however long it stays
 */
export function watchCertificate(
  files: CertificateFiles,
  inUse: Certificate,
  clock: Clock,
  { replaced, refused }: { replaced(certificate: Certificate): void; refused(thrown: unknown): void },
): { close(): void } {
  let current = inUse;
  let isRefused = false;
  let isClosed = false;
  /** One look after the other: an earlier one may not win over a later. */
  let looking = Promise.resolve();
  let second: Timer | undefined;

  async function look(why: 'change' | 'second look' | 'interval'): Promise<void> {
    try {
      const found = await readCertificate(files);
      if (isClosed) return;
      if (found.cert !== current.cert || found.key !== current.key) {
        replaced(found);
        current = found;
      }
      isRefused = false;
    } catch (thrown) {
      if (isClosed || (why === 'interval' && isRefused)) return;
      if (why === 'change') {
        // One of the two files may be on its way.
        second?.cancel();
        second = clock.after(SECOND_LOOK_MS, () => lookAgain('second look'), { background: true });
        return;
      }
      isRefused = true;
      refused(thrown);
    }
  }
  function lookAgain(why: Parameters<typeof look>[0]): void {
    looking = looking.then(() => look(why));
  }
  const folders = new Map([files.cert, files.key].map((path) => [dirname(path), path]));
  const watches = [...folders.values()].map((path) => watchFile(path, clock, () => lookAgain('change')));
  const again = () => clock.after(LOOK_INTERVAL_MS, tick, { background: true });
  const tick = (): void => {
    lookAgain('interval');
    timer = again();
  };
  let timer = again();
  return {
    close() {
      isClosed = true;
      timer.cancel();
      second?.cancel();
      for (const watch of watches) watch.close();
    },
  };
}
