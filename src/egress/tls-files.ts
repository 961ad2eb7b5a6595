// Certificates and keys that the configuration names by path, read and tried once at the start: a wrong one is told
// then, with its setting, and not by the first request. Nothing of a key's text is ever told.
import { createHash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, getCACertificates, type SecureContext, type SecureContextOptions } from 'node:tls';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';

/** Paths of PEM files. */
export interface TlsFiles {
  /** Trusted besides the authorities that Node trusts. */
  readonly ca?: string | undefined;
  /** What we show of ourselves: the certificate with its chain, and its key. Both or neither. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The name that is asked for and that the certificate must be for; default: the URL's. */
  readonly serverName?: string | undefined;
}

export interface TlsSettings {
  /** Made once: one for each connection would read some hundred certificates each time. */
  readonly secureContext: SecureContext;
  readonly serverName: string | undefined;
  /** SHA-256 of all of it: equal where nothing was changed. */
  readonly digest: string;
}

/**
 * @param setting the group's name, for the error: `routes[0].tls`
 * @returns undefined where nothing is set
 * @throws tls_file_unusable
 */
export async function openTlsFiles(files: TlsFiles, setting: string): Promise<TlsSettings | undefined> {
  const { ca, cert, key, serverName } = files;
  if (ca === undefined && cert === undefined && key === undefined && serverName === undefined) return undefined;
  const read = async (name: 'ca' | 'cert' | 'key'): Promise<string | undefined> => {
    const path = files[name];
    return path === undefined ? undefined : await readPem(path, `${setting}.${name}`);
  };
  const [caText, certText, keyText] = await Promise.all([read('ca'), read('cert'), read('key')]);
  if (ca !== undefined && caText !== undefined) assertCertificates(caText, ca, `${setting}.ca`);
  if (cert !== undefined && certText !== undefined) assertCertificates(certText, cert, `${setting}.cert`);
  const parts = {
    // Setting it replaces what Node trusts.
    ...(caText !== undefined && { ca: [...getCACertificates('default'), caText] }),
    ...(certText !== undefined && { cert: certText }),
    ...(keyText !== undefined && { key: keyText }),
  };
  const texts = JSON.stringify([caText, certText, keyText, serverName]);
  return {
    secureContext: openPair(parts, key ?? '', `${setting}.key`),
    serverName,
    digest: createHash('sha256').update(texts).digest('base64'),
  };
}

/**
 * What Node makes of a certificate that was read already and its key: where it throws, it is the key, or the two do not
 * belong together.
 * @throws tls_file_unusable
 */
export function openPair(parts: SecureContextOptions, keyPath: string, setting: string): SecureContext {
  try {
    return createSecureContext(parts);
  } catch (thrown) {
    const reason = 'it is no unencrypted key in PEM, or not the one of the certificate';
    throw unusableTlsFile(setting, keyPath, reason, { code: systemCode(thrown) });
  }
}

/** @throws tls_file_unusable */
export async function readPem(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw unusableTlsFile(setting, path, 'it cannot be read', { code: systemCode(thrown) });
  }
}

/** Node passes over what is no certificate without a word. @throws tls_file_unusable */
export function assertCertificates(text: string, path: string, setting: string): void {
  const blocks = text.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]*-----END /g) ?? [];
  if (blocks.length === 0) throw unusableTlsFile(setting, path, 'it holds no certificate in PEM', {});
  try {
    for (const block of blocks) new X509Certificate(`${block}CERTIFICATE-----\n`);
  } catch {
    throw unusableTlsFile(setting, path, 'a certificate in it cannot be read', {});
  }
}

function unusableTlsFile(setting: string, path: string, reason: string, { code }: { code?: string | undefined }) {
  return new SidebearerError('tls_file_unusable', {
    setting,
    path,
    reason,
    ...(code !== undefined && { systemCode: code }),
  });
}
