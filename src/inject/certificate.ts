// The webhook's certificate and key, read from files that somebody else replaces (kubelet swaps a symlink, cert-manager
// the Secret behind it). A new pair that cannot be used is told, and the one in use goes on. No key's text is ever told.
import { X509Certificate } from 'node:crypto';
import { dirname } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Clock } from '../clock.ts';
import { assertCertificates, readPem, unusableTlsFile } from '../egress/tls-files.ts';
import { systemCode } from '../errors/sidebearer-error.ts';
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

/** @throws tls_file_unusable */
export async function readCertificate(files: CertificateFiles): Promise<Certificate> {
  const [cert, key] = await Promise.all([readPem(files.cert, '--tls-cert'), readPem(files.key, '--tls-key')]);
  assertCertificates(cert, files.cert, '--tls-cert');
  try {
    createSecureContext({ cert, key });
  } catch (thrown) {
    const reason = 'it is no unencrypted key in PEM, or not the one of the certificate';
    throw unusableTlsFile('--tls-key', files.key, reason, { code: systemCode(thrown) });
  }
  return { cert, key, expiresAtMs: Date.parse(new X509Certificate(cert).validTo) };
}

/**
 * Reads again whenever the files change.
 * @param replaced with a pair that differs from the last one and can be used
 * @param refused with a tls_file_unusable
 */
export function watchCertificate(
  files: CertificateFiles,
  inUse: Certificate,
  clock: Clock,
  { replaced, refused }: { replaced(certificate: Certificate): void; refused(thrown: unknown): void },
): { close(): void } {
  let current = inUse;
  let isClosed = false;
  /** One look after the other: an earlier one may not win over a later. */
  let looking = Promise.resolve();

  async function look(): Promise<void> {
    try {
      const found = await readCertificate(files);
      if (isClosed || (found.cert === current.cert && found.key === current.key)) return;
      replaced(found);
      current = found;
    } catch (thrown) {
      if (!isClosed) refused(thrown);
    }
  }
  const changed = (): void => {
    looking = looking.then(look);
  };
  const folders = new Map([files.cert, files.key].map((path) => [dirname(path), path]));
  const watches = [...folders.values()].map((path) => watchFile(path, clock, changed));
  const again = () => clock.after(LOOK_INTERVAL_MS, tick, { background: true });
  const tick = (): void => {
    changed();
    timer = again();
  };
  let timer = again();
  return {
    close() {
      isClosed = true;
      timer.cancel();
      for (const watch of watches) watch.close();
    },
  };
}
