import fc from 'fast-check';
import t from 'tap';
import { readDuration, readShare, readSize } from '../../src/config/units.ts';

t.test('durations, sizes and percentages are read in their base units', async (t) => {
  const durations = { '0s': 0, '250ms': 250, '30s': 30_000, '5m': 300_000, '1h': 3_600_000, '5d': 432_000_000 };
  for (const [text, ms] of Object.entries(durations)) t.equal(readDuration(text), ms, text);
  const sizes = { '0B': 0, '512B': 512, '64KiB': 65_536, '1MiB': 1_048_576, '1GiB': 1_073_741_824 };
  for (const [text, bytes] of Object.entries(sizes)) t.equal(readSize(text), bytes, text);
  const shares = { '0%': 0, '10%': 0.1, '12.5%': 0.125, '100%': 1 };
  for (const [text, share] of Object.entries(shares)) t.equal(readShare(text), share, text);
});

t.test('what is not exactly the form is refused, never guessed', async (t) => {
  for (const text of ['', '5', 's', '-1s', '1.5s', '5 s', ' 5s', '5s\n', '1h30m', '5S', '5M', '1w', '4000d', '1e3s']) {
    t.equal(readDuration(text), undefined, `duration ${JSON.stringify(text)}`);
  }
  for (const text of ['', '5', '64KB', '64k', '1 MiB', '-1B', '1.5MiB', '1MiB ', '2048GiB', '٣B']) {
    t.equal(readSize(text), undefined, `size ${JSON.stringify(text)}`);
  }
  for (const text of ['', '10', '0.1', '101%', '-1%', '10 %', '10%%', '.5%', '100.1%']) {
    t.equal(readShare(text), undefined, `percentage ${JSON.stringify(text)}`);
  }
});

t.test('every whole number with a unit is read as their product', async () => {
  const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  fc.assert(
    fc.property(fc.nat(3_650), fc.constantFrom(...Object.entries(units)), (amount, [unit, factor]) => {
      return readDuration(`${amount}${unit}`) === amount * factor;
    }),
  );
  fc.assert(
    fc.property(fc.nat(1_024), fc.constantFrom('B', 'KiB', 'MiB', 'GiB'), (amount, unit) => {
      const power = ['B', 'KiB', 'MiB', 'GiB'].indexOf(unit);
      return readSize(`${amount}${unit}`) === amount * 1_024 ** power;
    }),
  );
});

t.test('no text whatever gives a negative, broken or endless amount', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{0,20}(ms|s|d|B|GiB|%)$/)), (text) => {
      const amounts = [readDuration(text), readSize(text), readShare(text)].filter((amount) => amount !== undefined);
      return amounts.every((amount) => Number.isFinite(amount) && amount >= 0 && amount <= 3_650 * 86_400_000 * 10);
    }),
  );
});
