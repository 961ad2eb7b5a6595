// Seals small secrets at rest with AES-256-GCM; the first key seals, all keys open.
// It never says why something did not open, and never lets key or plaintext into an error.
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Sealing } from './store.ts';

/** Begins every sealed text; a later format gets another one. */
const prefix = 'sb1.';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/**
 * Sealed text: `sb1.` and base64url of nonce (12 random bytes), ciphertext, tag (16). The context is additional
 * authenticated data, with the format before it.
 * @param keys 32 bytes each, at least one; the first seals, all are tried to open
 * @throws config_keys_missing, config_value_invalid
 */
export function createSealing(keys: readonly Buffer[]): Sealing {
  for (const key of keys) {
    if (key.length !== keyBytes) {
      throw new SidebearerError('config_value_invalid', { setting: 'store.keys', reason: 'a key has 32 bytes' });
    }
  }
  // Key objects, so that no inspection of this object prints a key.
  const [first, ...rest] = keys.map((key) => createSecretKey(key));
  if (first === undefined) throw new SidebearerError('config_keys_missing', { setting: 'store.keys' });
  const all = [first, ...rest];
  const sealing: Sealing = {
    seal(plaintext, context) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', first, nonce, { authTagLength: tagBytes });
      cipher.setAAD(additionalData(context));
      const sealed = Buffer.concat([nonce, cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return prefix + sealed.toString('base64url');
    },
    open(sealed, context) {
      const bytes = decode(sealed);
      if (bytes === undefined) throw new SidebearerError('record_unopenable', { reason: 'it is not a sealed text' });
      for (const key of all) {
        const plaintext = tryOpen(bytes, key, context);
        if (plaintext !== undefined) return plaintext;
      }
      throw new SidebearerError('record_unopenable');
    },
    reseal(sealed, context) {
      const bytes = decode(sealed);
      if (bytes !== undefined && tryOpen(bytes, first, context) !== undefined) return undefined;
      return sealing.seal(sealing.open(sealed, context), context);
    },
  };
  return sealing;
}

/** A sealing whose keys can be changed under those who hold it. */
export interface ChangeableSealing extends Sealing {
  change(next: Sealing): void;
}

export function createChangeableSealing(first: Sealing): ChangeableSealing {
  let current = first;
  return {
    seal: (plaintext, context) => current.seal(plaintext, context),
    open: (sealed, context) => current.open(sealed, context),
    reseal: (sealed, context) => current.reseal(sealed, context),
    change(next) {
      current = next;
    },
  };
}

/**
 * No sealing: what is stored can be read by whoever reads the store, and its context is not checked. Only where the
 * operator said `plaintext: true`. A text that was sealed with a key is refused, not taken for a plaintext.
 */
export function createPlaintextSealing(): Sealing {
  const sealing: Sealing = {
    seal: (plaintext) => plaintext,
    open(sealed) {
      if (sealed.startsWith(prefix)) {
        throw new SidebearerError('record_unopenable', {
          reason: 'it was sealed with a key, and no key is configured',
        });
      }
      return sealed;
    },
    reseal(sealed, context) {
      sealing.open(sealed, context);
      return undefined;
    },
  };
  return sealing;
}

/** A seal key as it is configured: 32 bytes, base64, white space around it allowed. Undefined: it is not one. */
export function parseSealKey(text: string): Buffer | undefined {
  const trimmed = text.trim();
  const key = Buffer.from(trimmed, 'base64');
  const canonical = key.toString('base64');
  const isCanonical = trimmed === canonical || `${trimmed}=` === canonical;
  return key.length === keyBytes && isCanonical ? key : undefined;
}

function additionalData(context: string): Buffer {
  return Buffer.from(prefix + context, 'utf8');
}

/** Decodes strictly: Node's decoder passes over foreign characters and spare bits, which would be flipped unseen. */
function decode(sealed: string): Buffer | undefined {
  if (!sealed.startsWith(prefix)) return undefined;
  const text = sealed.slice(prefix.length);
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length >= nonceBytes + tagBytes && bytes.toString('base64url') === text ? bytes : undefined;
}

function tryOpen(bytes: Buffer, key: KeyObject, context: string): string | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
  decipher.setAAD(additionalData(context));
  decipher.setAuthTag(bytes.subarray(-tagBytes));
  const plaintext = decipher.update(bytes.subarray(nonceBytes, -tagBytes));
  try {
    // Nothing of the plaintext is given out before the tag was found right.
    return Buffer.concat([plaintext, decipher.final()]).toString('utf8');
  } catch {
    // Not this key, or not this context: the caller tries the next key and then says so by code.
    return undefined;
  }
}
