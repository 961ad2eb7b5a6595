import t from 'tap';
import { live, type ProbeFacts, ready, started } from '../../src/telemetry/probes.ts';

type Require = ProbeFacts['require'];
const facts = (isBound: boolean, isStopping: boolean, require: Require, usable: readonly boolean[]): ProbeFacts => ({
  isBound,
  isStopping,
  require,
  credentials: () =>
    usable.map((each, index) => ({ name: `c${index}`, state: each ? 'fresh' : 'absent', usable: each })),
});

t.test('live is always true: that it answers is the answer', async (t) => {
  t.strictSame(live(), { ok: true, reasons: [] });
});

t.test('started needs the listeners and nothing else: no credential, no readiness', async (t) => {
  for (const isStopping of [false, true]) {
    for (const require of ['none', 'any', 'all'] as const) {
      t.equal(started(facts(true, isStopping, require, [false])).ok, true);
      t.equal(started(facts(false, isStopping, require, [true])).ok, false);
    }
  }
});

const truth: [Require, readonly boolean[], boolean][] = [
  ['none', [], true],
  ['none', [false, false], true],
  ['any', [], false],
  ['any', [false, false], false],
  ['any', [false, true], true],
  ['any', [true, true], true],
  ['all', [], true],
  ['all', [false, false], false],
  ['all', [false, true], false],
  ['all', [true, true], true],
];

for (const [require, usable, expected] of truth) {
  t.test(`ready with require ${require} of [${usable}] is ${expected}, never unbound or stopping`, async (t) => {
    const answer = ready(facts(true, false, require, usable));
    t.equal(answer.ok, expected);
    t.equal(answer.reasons.length === 0, expected, 'a refusal says why');
    t.equal(ready(facts(false, false, require, usable)).ok, false);
    t.equal(ready(facts(true, true, require, usable)).ok, false);
    t.equal(ready(facts(false, true, require, usable)).ok, false);
  });
}

t.test('credentials are not asked where the answer does not depend on them', async (t) => {
  const credentials = () => {
    throw new Error('asked');
  };
  t.ok(ready({ isBound: true, isStopping: false, require: 'none', credentials }).ok);
  t.notOk(ready({ isBound: true, isStopping: true, require: 'all', credentials }).ok);
});

t.test('ten thousand unusable credentials make a short answer', async (t) => {
  const { reasons } = ready(
    facts(
      true,
      false,
      'all',
      Array.from({ length: 10_000 }, () => false),
    ),
  );
  t.equal(reasons.length, 11);
  t.equal(reasons[0], 'Credential c0 has no usable token (absent).');
  t.equal(reasons[10], '9990 more have none.');
});
