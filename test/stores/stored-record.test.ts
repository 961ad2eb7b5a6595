// A record that was read back is whole and this credential's, or it is refused with its code.
import t from 'tap';
import { RECORD_FORMAT } from '../../src/stores/store.ts';
import { assertStoredRecord } from '../../src/stores/stored-record.ts';
import { createRecord } from './_record.ts';

const whole: Record<string, unknown> = {
  ...createRecord('codex', { seed: { fingerprint: 's' }, dead: { fingerprint: 'f', code: 'grant_reused', at: 1 } }),
};

t.test('a whole record passes as it is, unknown fields included', async (t) => {
  t.equal(assertStoredRecord(whole, 'codex'), whole);
  const minimal = { ...whole };
  for (const key of ['sealed', 'account', 'intent', 'dead', 'seed']) delete minimal[key];
  t.equal(assertStoredRecord(minimal, 'codex'), minimal);
  const extended = { ...whole, later: { a: 1 } };
  t.equal(assertStoredRecord(extended, 'codex'), extended);
});

t.test('what is missing or of another kind answers record_corrupt, naming the field and never its value', async (t) => {
  const wrong: Record<string, unknown[]> = {
    format: [undefined, '1', 0, -1, 1.5, null],
    credential: [undefined, '', 7, 'other'],
    version: [undefined, 0, -1, 1.5, '1'],
    generation: [undefined, -1, 'x', 2 ** 53],
    writeId: [undefined, '', 1],
    bound: [
      undefined,
      null,
      [],
      'x',
      {},
      { clientId: 1 },
      { clientId: 'c', issuer: 5 },
      { clientId: 'c', tokenUrl: null },
    ],
    salt: [undefined, '', 'AAAA', 5],
    sealed: [null, '', 5, {}],
    account: [null, 'x', [], { id: 5 }, { fedramp: 'yes' }],
    intent: [
      null,
      {},
      { fingerprint: 'f', owner: 'o' },
      { fingerprint: 'f', owner: '', since: 1 },
      { fingerprint: 'f', owner: 'o', since: '1' },
      { fingerprint: 'f', owner: 'o', since: 1, holdUntil: '2' },
    ],
    dead: [
      null,
      {},
      { fingerprint: 'f', code: 'grant_reused' },
      { fingerprint: 'f', code: 'No Code', at: 1 },
      { code: 'grant_reused', at: 1 },
    ],
    seed: [null, {}, { fingerprint: '' }],
    operator: [undefined, null, {}, { disabled: 'no', note: '' }, { disabled: false }],
  };
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of values) {
      const record = { ...whole, [field]: value };
      t.throws(
        () => assertStoredRecord(record, 'codex', '/path'),
        { code: 'record_corrupt', details: { credential: 'codex', path: '/path' } },
        `${field}: ${JSON.stringify(value)}`,
      );
    }
  }
  for (const value of [undefined, null, 'text', 5, true, [], [whole]]) {
    t.throws(() => assertStoredRecord(value, 'codex'), { code: 'record_corrupt' });
  }
  t.throws(() => assertStoredRecord(whole, 'other'), { code: 'record_corrupt' });
});

t.test('a newer format answers record_format_newer, whatever else it holds', async (t) => {
  t.throws(() => assertStoredRecord({ format: RECORD_FORMAT + 1 }, 'codex'), { code: 'record_format_newer' });
  const dead = { fingerprint: 'f', code: 'grant_some_later_reason', at: 1 };
  t.throws(
    () => assertStoredRecord({ ...whole, dead }, 'codex'),
    { code: 'record_format_newer' },
    'so does a code of a later catalogue',
  );
});
