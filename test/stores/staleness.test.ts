// A slow store makes a lease stale later, never sooner.
import t from 'tap';
import { createStaleness } from '../../src/stores/staleness.ts';

t.test('the time it stood still counts from the answer of the first look to the asking of the last', async (t) => {
  const staleness = createStaleness();
  t.equal(staleness.isStale('codex', { counter: '1', askedMs: 0, answeredMs: 500 }, 1_000), false);
  t.equal(staleness.isStale('codex', { counter: '1', askedMs: 1_499, answeredMs: 9_000 }, 1_000), false);
  t.equal(staleness.isStale('codex', { counter: '1', askedMs: 1_500, answeredMs: 1_500 }, 1_000), true);
});

t.test('any other counter begins anew, and each credential has its own', async (t) => {
  const staleness = createStaleness();
  const look = (counter: string, atMs: number) => ({ counter, askedMs: atMs, answeredMs: atMs });
  t.equal(staleness.isStale('codex', look('5', 0), 1_000), false);
  t.equal(staleness.isStale('codex', look('4', 1_000), 1_000), false);
  t.equal(staleness.isStale('other', look('4', 2_000), 1_000), false);
  t.equal(staleness.isStale('codex', look('4', 2_000), 1_000), true);
});
