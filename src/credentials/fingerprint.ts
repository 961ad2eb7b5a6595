// Fingerprints tell refresh tokens apart without keeping them: salted, so that two records never match by chance or
// by dictionary, and without a key, so that a change of seal keys leaves them valid.
import { createHash } from 'node:crypto';

/** SHA-256 over the record's salt (base64) and the token, base64url. */
export function fingerprint(salt: string, token: string): string {
  return createHash('sha256').update(Buffer.from(salt, 'base64')).update(token).digest('base64url');
}
