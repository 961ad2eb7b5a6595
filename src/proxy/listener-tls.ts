// The proxy listener's own certificate and the authorities of its clients, read and tried once at the start. Nothing of
// a key's text is ever told. What Node trusts is of no meaning here: any site's certificate would let its owner in.
import { assertCertificates, openPair, readPem } from '../egress/tls-files.ts';

/** PEM. */
export interface ListenerTls {
  /** With its chain. */
  readonly cert: string;
  readonly key: string;
  /** Present: every client must show a certificate signed by one of these. */
  readonly clientCa: string | undefined;
}

/** Paths of PEM files. */
export interface ListenerTlsFiles {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly clientCa?: string | undefined;
}

/** @returns undefined: plain. @throws tls_file_unusable */
export async function openListenerTls({
  cert: certPath,
  key: keyPath,
  clientCa: caPath,
}: ListenerTlsFiles): Promise<ListenerTls | undefined> {
  if (certPath === undefined || keyPath === undefined) return undefined;
  const [cert, key, clientCa] = await Promise.all([
    readPem(certPath, 'listen.tls.cert'),
    readPem(keyPath, 'listen.tls.key'),
    caPath === undefined ? undefined : readPem(caPath, 'listen.clients.ca'),
  ]);
  assertCertificates(cert, certPath, 'listen.tls.cert');
  if (caPath !== undefined && clientCa !== undefined) assertCertificates(clientCa, caPath, 'listen.clients.ca');
  openPair({ cert, key }, keyPath, 'listen.tls.key');
  return { cert, key, clientCa };
}
