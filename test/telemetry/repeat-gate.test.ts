import t from 'tap';
import { createRepeatGate } from '../../src/telemetry/repeat-gate.ts';
import { createFakeClock } from '../_fake-clock.ts';

t.test('the first passes at once, then one an interval with the number held back between', async (t) => {
  const clock = createFakeClock();
  const gate = createRepeatGate(clock, 10_000);
  t.equal(gate.admit('a'), 0);
  for (let i = 0; i < 7; i += 1) t.equal(gate.admit('a'), undefined);
  await clock.advance(9_999);
  t.equal(gate.admit('a'), undefined);
  await clock.advance(1);
  t.equal(gate.admit('a'), 8);
  t.equal(gate.admit('a'), undefined);
  await clock.advance(10_000);
  t.equal(gate.admit('a'), 1);
  await clock.advance(60_000);
  t.equal(gate.admit('a'), 0, 'nothing was held back');
});

t.test('keys do not concern each other, and a jump of the wall clock changes nothing', async (t) => {
  const clock = createFakeClock();
  const gate = createRepeatGate(clock, 10_000);
  t.equal(gate.admit('a'), 0);
  t.equal(gate.admit('b'), 0);
  clock.jumpWall(3_600_000);
  t.equal(gate.admit('a'), undefined);
});

t.test('it remembers a bounded number of keys and forgets the quietest', async (t) => {
  const gate = createRepeatGate(createFakeClock(), 10_000, 3);
  for (const key of ['a', 'b', 'c', 'd']) gate.admit(key);
  t.equal(gate.admit('b'), undefined);
  t.equal(gate.admit('d'), undefined);
  t.equal(gate.admit('a'), 0, 'the first was forgotten');
});
