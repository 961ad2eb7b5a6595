// Records as strings, the JSON itself, so that `redis-cli GET` shows one and an operator's SET counts as a change.
// The version is the digest of that text: it is the same in every process, and after a server lost its data none that
// was given before can be met again by chance. It never gives up a token that this process has seen.
import { createHash } from 'node:crypto';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { RedisConnection } from './redis-connection.ts';
import { ABSENT, type CommitResult, type ReadResult, type StoredRecord } from './store.ts';
import { assertStoredRecord, isFields } from './stored-record.ts';

export interface RedisRecords {
  read(credential: string): Promise<ReadResult>;
  commit(credential: string, expected: string, record: StoredRecord): Promise<CommitResult>;
  list(): Promise<string[]>;
  /** Which of the records are not what this process has read or written last. */
  changed(credentials: readonly string[]): Promise<string[]>;
}

export interface RedisRecordsOptions {
  readonly connection: RedisConnection;
  readonly keyPrefix: string;
  /** Where a commit tells the credential's name. */
  readonly channel: string;
  readonly onWarning: (warning: SidebearerError) => void;
}

/** SHA-1 is what a script has; it only tells texts apart, and whoever could forge one could write the record. */
const commitScript = `
local stored = redis.call('GET', KEYS[1])
local version = stored and redis.sha1hex(stored) or ARGV[1]
if version ~= ARGV[2] then return stored or '' end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1`;

const maxRounds = 20;
const lookedUpAtOnce = 100;

/** What this process has last read or written. */
interface Remembered {
  readonly text: string;
  readonly generation: number;
  readonly salt: string;
}

export function createRedisRecords(options: RedisRecordsOptions): RedisRecords {
  const { connection, keyPrefix, channel, onWarning } = options;
  const remembered = new Map<string, Remembered>();
  const keyOf = (credential: string): string => `${keyPrefix}record:${credential}`;

  const remember = (credential: string, text: string, { generation, salt }: StoredRecord): void => {
    remembered.set(credential, { text, generation, salt });
  };

  /** 1, or what stands there instead. */
  const swap = async (credential: string, expected: string, text: string): Promise<unknown> =>
    await connection.run({ isWrite: true, credential }, (redis) =>
      redis.eval(commitScript, 1, keyOf(credential), ABSENT, expected, text, channel, credential),
    );

  const load = async (credential: string): Promise<{ text: string; result: ReadResult }> => {
    const key = keyOf(credential);
    const bytes = await connection.run({ isWrite: false, credential }, (redis) => redis.getBuffer(key));
    if (bytes === null) return { text: '', result: { version: ABSENT, record: undefined } };
    const { text, value } = parse(bytes);
    return { text, result: { version: versionOf(bytes), record: assertStoredRecord(value, credential, key) } };
  };

  /** The server lost what this process knows: it is there no more, or an older one of the same record. */
  const isLost = (known: Remembered, found: StoredRecord | undefined): boolean =>
    // Another salt is a record that was begun anew since: by a login, which counts.
    found === undefined || (found.salt === known.salt && found.generation < known.generation);

  return {
    async read(credential) {
      for (let round = 0; round < maxRounds; round += 1) {
        const { text, result } = await load(credential);
        const known = remembered.get(credential);
        if (known === undefined || !isLost(known, result.record)) {
          if (result.record !== undefined) remember(credential, text, result.record);
          return result;
        }
        const answer = await swap(credential, result.version, known.text);
        if (answer === 1)
          onWarning(new SidebearerError('store_data_lost', { credential, address: connection.address }));
      }
      throw new SidebearerError('store_unavailable', { credential, reason: 'it changes faster than it can be read' });
    },

    async commit(credential, expected, record) {
      const text = JSON.stringify(record);
      const answer = await swap(credential, expected, text);
      // The answer to an earlier try of this commit was lost: it had won.
      const standing = answer === 1 ? text : answer;
      if (typeof standing !== 'string' || writeIdOf(standing) !== record.writeId) {
        return { committed: false, conflict: true };
      }
      remember(credential, standing, record);
      return { committed: true, version: versionOf(standing) };
    },

    async list() {
      const start = keyOf('');
      const pattern = `${start.replace(/[\\*?[\]]/g, '\\$&')}*`;
      const found = new Set<string>();
      let cursor = '0';
      do {
        const [next, keys] = await connection.run({ isWrite: false }, (redis) =>
          redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000),
        );
        for (const key of keys) found.add(key.slice(start.length));
        cursor = next;
      } while (cursor !== '0');
      return [...found];
    },

    async changed(credentials) {
      const found: string[] = [];
      for (let at = 0; at < credentials.length; at += lookedUpAtOnce) {
        const some = credentials.slice(at, at + lookedUpAtOnce);
        const texts = await connection.run({ isWrite: false }, (redis) => redis.mget(some.map(keyOf)));
        found.push(...some.filter((credential, index) => texts[index] !== (remembered.get(credential)?.text ?? null)));
      }
      return found;
    },
  };
}

function versionOf(text: string | Buffer): string {
  return createHash('sha1').update(text).digest('hex');
}

/** An undefined value where the bytes are not UTF-8 or not JSON. */
function parse(bytes: Buffer): { text: string; value: unknown } {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return { text, value: JSON.parse(text) };
  } catch {
    return { text: '', value: undefined };
  }
}

function writeIdOf(text: string): unknown {
  const { value } = parse(Buffer.from(text));
  return isFields(value) ? value['writeId'] : undefined;
}
