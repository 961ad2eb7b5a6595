// Sealed text opens with its key and its context, whole, or not at all.
import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createPlaintextSealing, createSealing, parseSealKey } from '../../src/stores/sealing.ts';
import type { Sealing } from '../../src/stores/store.ts';

const secret = 'the-refresh-token-that-nobody-may-see';
const key = randomBytes(32);
const sealing = createSealing([key]);
const text = fc.string({ unit: 'binary' });

/** Whether opening fails with record_unopenable and nothing of the secret is in what was thrown. */
function isUnopenable(by: Sealing, sealed: string, context: string): boolean {
  try {
    by.open(sealed, context);
    return false;
  } catch (thrown) {
    const shown = inspect(thrown, { depth: 9 });
    return thrown instanceof SidebearerError && thrown.code === 'record_unopenable' && !shown.includes(secret);
  }
}

t.test('whatever was sealed opens again, with its context', async (t) => {
  fc.assert(
    fc.property(
      text,
      text,
      (plaintext, context) => sealing.open(sealing.seal(plaintext, context), context) === plaintext,
    ),
  );
  t.pass('for every text and context');
});

t.test('sealed text shows neither plaintext nor key, and never twice the same', async (t) => {
  const sealed = sealing.seal(secret, 'context');
  t.match(sealed, /^sb1\.[A-Za-z0-9_-]+$/);
  t.notMatch(Buffer.from(sealed.slice(4), 'base64url').toString('latin1'), secret);
  t.not(sealing.seal(secret, 'context'), sealed);
  t.notMatch(inspect(sealing, { depth: 9, showHidden: true }), key.toString('hex').slice(0, 8));
});

t.test('any one flipped bit of the sealed text answers record_unopenable', async (t) => {
  const bytes = Buffer.from(sealing.seal(secret, 'context'), 'latin1');
  let opened = 0;
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    if (!isUnopenable(sealing, flipped.toString('latin1'), 'context')) opened += 1;
  }
  t.equal(opened, 0);
});

t.test('another context, another key, a cut or foreign text answers record_unopenable', async (t) => {
  const sealed = sealing.seal(secret, 'context');
  const other = createSealing([randomBytes(32), randomBytes(32)]);
  fc.assert(
    fc.property(
      text.filter((context) => context !== 'context'),
      (context) => isUnopenable(sealing, sealed, context),
    ),
  );
  fc.assert(
    fc.property(fc.nat({ max: sealed.length - 1 }), (length) =>
      isUnopenable(sealing, sealed.slice(0, length), 'context'),
    ),
  );
  fc.assert(fc.property(text, (foreign) => isUnopenable(sealing, foreign, 'context')));
  fc.assert(fc.property(text, (tail) => tail === '' || isUnopenable(sealing, sealed + tail, 'context')));
  fc.assert(fc.property(text, (context) => isUnopenable(other, sealed, context)));
  t.pass('for every one that was tried');
});

t.test('the first key seals, all keys open', async (t) => {
  const [older, newer] = [randomBytes(32), randomBytes(32)];
  const before = createSealing([older]).seal(secret, 'context');
  const rotated = createSealing([newer, older]);
  t.equal(rotated.open(before, 'context'), secret);
  const after = rotated.seal(secret, 'context');
  t.equal(createSealing([newer]).open(after, 'context'), secret);
  t.ok(isUnopenable(createSealing([older]), after, 'context'));
});

t.test('no key at all is config_keys_missing, a key of another length config_value_invalid', async (t) => {
  t.throws(() => createSealing([]), { code: 'config_keys_missing' });
  t.throws(() => createSealing([randomBytes(31)]), { code: 'config_value_invalid' });
  t.throws(() => createSealing([randomBytes(32), randomBytes(33)]), { code: 'config_value_invalid' });
});

t.test('the caller may wipe its key after the sealing was made', async (t) => {
  const mine = Buffer.from(key);
  const made = createSealing([mine]);
  mine.fill(0);
  t.equal(sealing.open(made.seal(secret, 'context'), 'context'), secret);
});

t.test('plaintext is kept as it is, but what was sealed with a key is refused, and the other way round', async (t) => {
  const plaintext = createPlaintextSealing();
  t.equal(plaintext.seal('{"access":"a"}', 'context'), '{"access":"a"}');
  t.equal(plaintext.open('{"access":"a"}', 'context'), '{"access":"a"}');
  t.ok(isUnopenable(plaintext, sealing.seal(secret, 'context'), 'context'));
  t.ok(isUnopenable(sealing, `{"access":"${secret}"}`, 'context'));
});

t.test('a seal key is 32 bytes in base64, white space around it allowed', async (t) => {
  const base64 = key.toString('base64');
  for (const good of [base64, `${base64}\n`, `  ${base64}\r\n`, base64.slice(0, -1)])
    t.same(parseSealKey(good), key, good);
  const spare = Buffer.alloc(32).toString('base64').replace('A=', 'B=');
  const bad = [
    '',
    'short',
    key.toString('hex'),
    randomBytes(31).toString('base64'),
    randomBytes(33).toString('base64'),
  ];
  for (const text of [
    ...bad,
    `${base64}=`,
    `${base64}${base64}`,
    spare,
    `${base64.slice(0, 20)}\n${base64.slice(20)}`,
  ]) {
    t.equal(parseSealKey(text), undefined, text);
  }
});
