// A record that is whole and holds nothing of worth.
import { randomBytes } from 'node:crypto';
import type { StoredRecord } from '../../src/stores/store.ts';

/** Each call is another commit: it has a `writeId` of its own. */
export function createRecord(credential: string, changes: Partial<StoredRecord> = {}): StoredRecord {
  return {
    format: 1,
    credential,
    version: 1,
    generation: 1,
    writeId: randomBytes(16).toString('base64url'),
    bound: { issuer: 'https://idp.example', tokenUrl: 'https://idp.example/token', clientId: 'client' },
    salt: Buffer.alloc(16, 7).toString('base64'),
    sealed: 'sb1.c2VhbGVk',
    account: { issuer: 'https://idp.example', id: 'account', email: 'a@idp.example', fedramp: false },
    intent: { fingerprint: 'fingerprint', owner: 'owner', since: 1_800_000_000_000 },
    operator: { disabled: false, note: 'héllo' },
    ...changes,
  };
}
