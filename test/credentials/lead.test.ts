// When a token is due.
import t from 'tap';
import { dueAtMs } from '../../src/credentials/lead.ts';

const second = 1_000;
const minute = 60 * second;
const day = 24 * 60 * minute;
const obtainedAtMs = 1_800_000_000_000;

const cases: readonly { readonly what: string; lifeMs: number; leadMs: number | undefined; beforeMs: number }[] = [
  { what: 'a configured lead is used', lifeMs: 10 * day, leadMs: 5 * day - 1, beforeMs: 5 * day - 1 },
  { what: 'five days against an hour is half an hour', lifeMs: 60 * minute, leadMs: 5 * day, beforeMs: 30 * minute },
  { what: 'by default a fifth of the life', lifeMs: 20 * minute, leadMs: undefined, beforeMs: 4 * minute },
  { what: 'by default at least 30 s', lifeMs: 100 * second, leadMs: undefined, beforeMs: 30 * second },
  { what: 'by default at most 10 min', lifeMs: day, leadMs: undefined, beforeMs: 10 * minute },
  {
    what: 'the 30 s, too, are at most half of the life',
    lifeMs: 20 * second,
    leadMs: undefined,
    beforeMs: 10 * second,
  },
  { what: 'a lead of none is the expiry itself', lifeMs: minute, leadMs: 0, beforeMs: 0 },
  { what: 'a token that was born expired is due at its expiry', lifeMs: -minute, leadMs: minute, beforeMs: 0 },
];

for (const { what, lifeMs, leadMs, beforeMs } of cases) {
  t.test(what, (t) => {
    const expiresAtMs = obtainedAtMs + lifeMs;
    t.equal(dueAtMs({ expiresAtMs, obtainedAtMs }, { leadMs, jitter: 0.1 }, 0), expiresAtMs - beforeMs);
    t.end();
  });
}

t.test('jitter is a share of the lead and always earlier', (t) => {
  const tokens = { expiresAtMs: obtainedAtMs + 60 * minute, obtainedAtMs };
  const policy = { leadMs: 10 * minute, jitter: 0.1 };
  const latest = dueAtMs(tokens, policy, 0);
  for (const random of [0.01, 0.5, 0.999]) {
    const due = dueAtMs(tokens, policy, random);
    t.ok(due < latest, 'earlier');
    t.ok(due > latest - minute, 'by less than a tenth of the lead');
  }
  t.end();
});

t.test('even the largest jitter leaves a token some time before it is due', (t) => {
  const tokens = { expiresAtMs: obtainedAtMs + minute, obtainedAtMs };
  t.ok(dueAtMs(tokens, { leadMs: 5 * day, jitter: 1 }, 0.999_999) >= obtainedAtMs);
  t.end();
});

t.test('an unknown expiry has no schedule: the 401 alone renews it', (t) => {
  t.equal(dueAtMs({ obtainedAtMs }, { leadMs: minute, jitter: 0.1 }, 0.5), Number.POSITIVE_INFINITY);
  t.end();
});
