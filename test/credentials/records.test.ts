// Records: what a write changes and what it leaves, and what a seal is bound to.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { createRecords, type OpenRecord, type RecordChange } from '../../src/credentials/records.ts';
import type { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { Bound } from '../../src/providers/provider.ts';
import { createMemoryStore } from '../../src/stores/memory.ts';
import { createSealing } from '../../src/stores/sealing.ts';
import type { StoredRecord } from '../../src/stores/store.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { bound } from './_provider.ts';
import { type Observed, silent } from './_rig.ts';

const tokens = { accessToken: 'access', refreshToken: 'refresh', expiresAtMs: 5_000, obtainedAtMs: 1_000 };

function createTested(key = randomBytes(32), configured: Bound = bound) {
  const store = createMemoryStore({ clock: createFakeClock() });
  const sealing = createSealing([key]);
  const writes: Observed[] = [];
  const failures: string[] = [];
  const observer = {
    ...silent,
    storeWritten: (_: string, outcome: string) => void writes.push({ type: 'written', outcome }),
    failed: (error: SidebearerError) => void failures.push(error.code),
  };
  const open = (credential: string, ours: Bound = configured) =>
    createRecords({ credential, bound: ours, store, sealing, observer });
  const records = open('codex');
  return {
    store,
    records,
    open,
    writes,
    failures,
    async write(change: RecordChange, base?: OpenRecord): Promise<OpenRecord | undefined> {
      return await records.commit(records.prepare(base ?? (await records.read()), change));
    },
    async stored(credential = 'codex'): Promise<StoredRecord> {
      const { record } = await store.read(credential);
      if (record === undefined) throw new Error('no record');
      return record;
    },
    /** Writes a record as it stands, as whoever may write to the store could. */
    async put(credential: string, record: StoredRecord): Promise<void> {
      const { version } = await store.read(credential);
      await store.commit(credential, version, { ...record, writeId: randomBytes(8).toString('hex') });
    },
  };
}

t.test('an absent record is read as one that can be written', async (t) => {
  const { records, write } = createTested();
  const record = await records.read();
  t.match(record, { version: '0', stored: undefined, tokens: undefined });
  t.ok(records.isBoundHere(record));
  t.equal(records.fingerprintOf(record, 'refresh'), undefined);
  t.match(await write({ tokens }), { tokens, stored: { version: 1, generation: 1, format: 1, bound } });
});

t.test('the generation moves with the tokens alone, the version with every write, the salt never', async (t) => {
  const { records, write, stored } = createTested();
  await write({ tokens });
  const { salt, writeId } = await stored();
  await write({ intent: { fingerprint: 'f', owner: 'o', since: 1 } });
  await write({ dead: { fingerprint: 'f', code: 'grant_reused', at: 1 } });
  t.match(await stored(), { version: 3, generation: 1, salt });
  t.not((await stored()).writeId, writeId);
  t.strictSame((await records.read()).tokens, tokens);
  await write({ tokens: { ...tokens, accessToken: 'next' } });
  t.match(await stored(), { version: 4, generation: 2, salt });
  await write({ tokens: undefined });
  t.match(await stored(), { version: 5, generation: 3, salt, sealed: undefined }, 'a logout counts');
});

t.test('a key that is absent stays, `undefined` removes', async (t) => {
  const { write, stored } = createTested();
  await write({ tokens, account: { id: 'alice' }, seed: { fingerprint: 's' } });
  await write({ intent: { fingerprint: 'f', owner: 'o', since: 1 } });
  t.match(await stored(), { account: { id: 'alice' }, seed: { fingerprint: 's' }, intent: { owner: 'o' } });
  await write({ intent: undefined, tokens });
  const after = await stored();
  t.match(after, { account: { id: 'alice' }, seed: { fingerprint: 's' } });
  t.notOk('intent' in after);
});

t.test("an operator's edit, and a field this version does not know, stay through token commits", async (t) => {
  const { write, stored, put } = createTested();
  await write({ tokens });
  await put('codex', {
    ...(await stored()),
    operator: { disabled: true, note: 'ask Bob' },
    ...{ proxyUrl: 'http://proxy' },
  });
  await write({ intent: { fingerprint: 'f', owner: 'o', since: 1 } });
  await write({ tokens: { ...tokens, accessToken: 'next' }, intent: undefined });
  t.match(await stored(), { operator: { disabled: true, note: 'ask Bob' }, proxyUrl: 'http://proxy', generation: 2 });
});

t.test('no token is readable in the store, nor in the fingerprint', async (t) => {
  const { records, write, stored } = createTested();
  await write({ tokens });
  t.notMatch(JSON.stringify(await stored()), /"access"|"refresh"|:access|:refresh/);
  const record = await records.read();
  const fingerprint = records.fingerprintOf(record, 'refresh') ?? '';
  t.match(fingerprint, /^[\w-]{43}$/);
  t.not(records.fingerprintOf(record, 'another'), fingerprint);
});

t.test('two records never share a fingerprint of one token', async (t) => {
  const [a, b] = [createTested(), createTested()];
  await a.write({ tokens });
  await b.write({ tokens });
  t.not(
    a.records.fingerprintOf(await a.records.read(), 'refresh'),
    b.records.fingerprintOf(await b.records.read(), 'refresh'),
  );
});

t.test('fingerprints need no key: they outlive a change of the seal keys', async (t) => {
  const before = createTested();
  await before.write({ tokens });
  const fingerprint = before.records.fingerprintOf(await before.records.read(), 'refresh');
  const after = createTested();
  const { sealed: _, ...unsealed } = await before.stored();
  await after.put('codex', unsealed);
  const { version, record } = await after.store.read('codex');
  t.equal(after.records.fingerprintOf({ version, stored: record, tokens: undefined }, 'refresh'), fingerprint);
});

const swaps: readonly { readonly what: string; readonly swap: (record: StoredRecord) => StoredRecord }[] = [
  { what: 'another generation', swap: (record) => ({ ...record, generation: record.generation + 1 }) },
  {
    what: 'another issuer',
    swap: (record) => ({ ...record, bound: { ...record.bound, issuer: 'https://evil.example' } }),
  },
  {
    what: 'another token URL',
    swap: (record) => ({ ...record, bound: { ...record.bound, tokenUrl: 'https://evil.example/t' } }),
  },
  { what: 'another client', swap: (record) => ({ ...record, bound: { ...record.bound, clientId: 'evil' } }) },
  { what: 'another name', swap: (record) => ({ ...record, credential: 'other' }) },
  { what: 'another format', swap: (record) => ({ ...record, format: 0 }) },
];
for (const { what, swap } of swaps) {
  t.test(`a seal that is moved to ${what} does not open: record_unopenable`, async (t) => {
    const { open, write, stored, put } = createTested();
    await write({ tokens });
    const swapped = swap(await stored());
    await put(swapped.credential, swapped);
    await t.rejects(open(swapped.credential).read(), { code: 'record_unopenable' });
  });
}

t.test('a whole record that is copied under another name does not open', async (t) => {
  const { open, write, stored, put } = createTested();
  await write({ tokens });
  await put('other', await stored());
  await t.rejects(open('other').read(), { code: 'record_unopenable' });
});

t.test('an older seal put back under a newer generation does not open', async (t) => {
  const { records, write, stored, put } = createTested();
  await write({ tokens });
  const { sealed = '' } = await stored();
  await write({ tokens: { ...tokens, refreshToken: 'next' } });
  await put('codex', { ...(await stored()), sealed });
  await t.rejects(records.read(), { code: 'record_unopenable' });
});

t.test('where `bound` differs from the configuration the record is nobody’s here', async (t) => {
  const { open, write } = createTested();
  await write({ tokens });
  for (const other of [
    { ...bound, clientId: 'another' },
    { issuer: 'https://other.example', clientId: bound.clientId },
    { ...bound, tokenUrl: 'https://idp.example/other' },
  ]) {
    const records = open('codex', other);
    t.notOk(records.isBoundHere(await records.read()), JSON.stringify(other));
  }
  t.ok(open('codex').isBoundHere(await open('codex').read()));
});

t.test('an intent on a record that is bound elsewhere does not bind it here', async (t) => {
  const { open, write, stored } = createTested();
  await write({ tokens });
  const elsewhere = open('codex', { issuer: 'https://other.example', clientId: 'c' });
  await elsewhere.commit(elsewhere.prepare(await elsewhere.read(), { intent: undefined }));
  t.match(await stored(), { bound });
});

t.test('an older format is written anew and sealed anew, its tokens kept', async (t) => {
  const tested = createTested();
  const { records } = tested;
  await tested.write({ tokens });
  const current = await records.read();
  if (current.stored === undefined) throw new Error('no record');
  const older: OpenRecord = { ...current, stored: { ...current.stored, format: 0 } };
  await tested.write({ intent: undefined }, older);
  t.match(await tested.stored(), { format: 1, generation: 1 });
  t.strictSame((await records.read()).tokens, tokens);
});

t.test('of two commits on one reading one is a conflict; the same commit again is the same', async (t) => {
  const { records, writes } = createTested();
  const base = await records.read();
  const ours = records.prepare(base, { tokens });
  const theirs = records.prepare(base, { tokens: { ...tokens, accessToken: 'theirs' } });
  t.match(await records.commit(ours), { tokens });
  t.equal(await records.commit(theirs), undefined);
  t.match(await records.commit(ours), { tokens }, 'its writeId is found');
  t.strictSame(
    writes.map((each) => (each.type === 'written' ? each.outcome : '')),
    ['committed', 'conflict', 'committed'],
  );
});

for (const accessToken of ['a b', 'a\nx: y', 'é', '', '\u0000']) {
  t.test(
    `a stored access token like ${JSON.stringify(accessToken)} is access_token_malformed and is not handed out`,
    async (t) => {
      const { records, write, failures, stored } = createTested();
      await write({ tokens: { ...tokens, accessToken } });
      t.strictSame((await records.read()).tokens, { refreshToken: 'refresh', obtainedAtMs: 1_000 });
      t.strictSame(failures, ['access_token_malformed']);
      const { sealed } = await stored();
      await write({ intent: undefined });
      t.equal((await stored()).sealed, sealed, 'and what is stored stays as it is');
    },
  );
}

for (const [what, text] of Object.entries({
  'no JSON': 'access',
  'a text': '"access"',
  'no time': '{"accessToken":"a"}',
  'a token that is a number': '{"accessToken":5,"obtainedAtMs":1}',
  'a time that is a text': '{"accessToken":"a","obtainedAtMs":"1"}',
  null: 'null',
})) {
  t.test(`sealed tokens that are ${what} are record_corrupt, and the text is in no error`, async (t) => {
    const key = randomBytes(32);
    const { records, write, stored, put } = createTested(key);
    await write({ tokens });
    const record = await stored();
    const context = JSON.stringify([1, 'codex', bound.issuer, null, bound.clientId, 1]);
    await put('codex', { ...record, sealed: createSealing([key]).seal(text, context) });
    await t.rejects(records.read(), { code: 'record_corrupt' });
    const error: unknown = await records.read().catch((thrown: unknown) => thrown);
    t.notMatch(String(error instanceof Error && error.message), /access"/);
  });
}
