import t, { type Test } from 'tap';
import { type BreakerPlace, createBreakers } from '../../src/assembly/breakers.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { silent } from '../credentials/_rig.ts';

const policy = { failures: 2, windowMs: 600_000, resetAfterMs: 30_000 };
const place = (endpoint: string, change: Partial<BreakerPlace> = {}): BreakerPlace => ({
  endpoint,
  egress: 'direct',
  policy,
  ...change,
});

function create(t: Test) {
  const told: string[] = [];
  const breakers = createBreakers(createFakeClock(), {
    ...silent,
    breakerChanged: (endpoint, egress, state) => void told.push(`${endpoint} ${egress} ${state}`),
    breakerGone: (endpoint, egress) => void told.push(`${endpoint} ${egress} gone`),
  });
  t.teardown(() => breakers.stop());
  return { breakers, told };
}

const fail = (): Promise<never> => Promise.reject(new SidebearerError('token_endpoint_unreachable'));

t.test('one stands at each endpoint and egress, and is seen once it is in force', (t) => {
  const { breakers, told } = create(t);
  const breaker = breakers.at(place('a'));
  t.equal(breakers.at(place('a')), breaker);
  t.not(breakers.at(place('a', { egress: 'proxy:1' })), breaker);
  t.strictSame(told, [], 'what is only prepared is told to nobody');
  breakers.keep([place('a')]);
  t.strictSame(told, ['a direct closed'], 'and what was dropped never is');
  t.end();
});

t.test('one that nobody comes by any more is gone; the others keep what they have counted', async (t) => {
  const { breakers, told } = create(t);
  const kept = breakers.at(place('a'));
  breakers.at(place('b'));
  breakers.keep([place('a'), place('b')]);
  for (let i = 0; i < 2; i += 1) await kept.fire(fail).catch(() => undefined);
  t.equal(kept.state, 'open');
  breakers.keep([place('a')]);
  t.equal(breakers.at(place('a')), kept);
  t.equal(kept.state, 'open', 'a reload opens no breaker and closes none');
  t.strictSame(told.slice(2), ['a direct open', 'b direct gone']);
});

t.test('the first that names it sets its numbers; other numbers begin anew', async (t) => {
  const { breakers, told } = create(t);
  const breaker = breakers.at(place('a'));
  const other = { ...policy, failures: 1 };
  breakers.keep([place('a'), place('a', { policy: other })]);
  await breaker.fire(fail).catch(() => undefined);
  t.equal(breaker.state, 'closed');
  await breaker.fire(fail).catch(() => undefined);
  t.equal(breaker.state, 'open');
  breakers.keep([place('a', { policy: other }), place('a')]);
  t.equal(breaker.state, 'closed');
  await breaker.fire(fail).catch(() => undefined);
  t.equal(breaker.state, 'open', 'by one failure now');
  t.strictSame(told, ['a direct closed', 'a direct open', 'a direct closed', 'a direct open']);
});
