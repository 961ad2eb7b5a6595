// Judges what a store read back: a whole record of this credential, in a format this version knows, or an error.
// Pure; it never repairs, fills in or drops anything.
import { errorCodes } from '../errors/catalogue.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { RECORD_FORMAT, type StoredRecord } from './store.ts';

type Fields = Readonly<Record<string, unknown>>;
type Check = (value: unknown) => boolean;

const knownCodes: ReadonlySet<string> = new Set(errorCodes);

const isText: Check = (value) => typeof value === 'string';
const isName: Check = (value) => typeof value === 'string' && value !== '';
const isFlag: Check = (value) => typeof value === 'boolean';
const isTime: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isSalt: Check = (value) => typeof value === 'string' && Buffer.from(value, 'base64').length === 16;
/** A code, known or not: one that is unknown is judged apart. */
const isCode: Check = (value) => typeof value === 'string' && /^[a-z][a-z0-9_]*$/.test(value);

const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const shape =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isFields(value) && Object.entries(checks).every(([key, check]) => check(value[key]));

const checks: Readonly<Record<keyof StoredRecord, Check>> = {
  format: isCount,
  credential: isName,
  version: (value) => isCount(value) && value !== 0,
  generation: isCount,
  writeId: isName,
  bound: shape({ issuer: optional(isText), tokenUrl: optional(isText), clientId: isText }),
  salt: isSalt,
  sealed: optional(isName),
  account: optional(
    shape({
      issuer: optional(isText),
      id: optional(isText),
      userId: optional(isText),
      email: optional(isText),
      plan: optional(isText),
      organizationId: optional(isText),
      fedramp: optional(isFlag),
      subscriptionUntil: optional(isText),
    }),
  ),
  intent: optional(shape({ fingerprint: isName, owner: isName, since: isTime, holdUntil: optional(isTime) })),
  dead: optional(shape({ fingerprint: isName, code: isCode, at: isTime })),
  unclear: optional(shape({ fingerprint: isName })),
  seed: optional(shape({ fingerprint: isName })),
  operator: shape({ disabled: isFlag, note: isText }),
};

/**
 * The value as a record of this credential. Fields it does not know stay.
 * @param value parsed JSON; undefined where the bytes were none
 * @param path where it was read, for the error
 * @throws record_corrupt, record_format_newer
 */
export function assertStoredRecord(value: unknown, credential: string, path?: string): StoredRecord {
  const details = { credential, ...(path === undefined ? {} : { path }) };
  const corrupt = (reason: string): SidebearerError => new SidebearerError('record_corrupt', { ...details, reason });
  if (value === undefined) throw corrupt('it is not whole JSON');
  if (!isFields(value)) throw corrupt('it is not a JSON object');
  const { format } = value;
  if (!Number.isSafeInteger(format) || Number(format) < 1) throw corrupt('its format is not a number from 1');
  // Before anything else is judged: what a newer version means by its fields is not ours to call corrupt.
  if (Number(format) > RECORD_FORMAT) throw new SidebearerError('record_format_newer', details);
  for (const [key, check] of Object.entries(checks)) {
    if (!check(value[key])) throw corrupt(`its field ${key} is missing or not what it should be`);
  }
  if (value['credential'] !== credential) throw corrupt('it names another credential');
  if (!hasKnownDeath(value)) {
    throw new SidebearerError('record_format_newer', { ...details, reason: 'it holds an unknown error code' });
  }
  return value as Fields & StoredRecord;
}

/** Whether it is a JSON object: neither null nor an array. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasKnownDeath(value: Fields): boolean {
  const dead = value['dead'];
  return !isFields(dead) || (typeof dead['code'] === 'string' && knownCodes.has(dead['code']));
}
