// What becomes of an answer whose sender was overtaken: its tokens are kept, and what may follow is remembered with them.
import t from 'tap';
import { createAnswerCommit } from '../../src/credentials/answer-commit.ts';
import { fingerprint } from '../../src/credentials/fingerprint.ts';
import { createMemory } from '../../src/credentials/memory.ts';
import { createRecordJudge } from '../../src/credentials/record-judge.ts';
import { createRenewalEnds } from '../../src/credentials/renewal-ends.ts';
import { createWorld, credential, indifferent, leaseMs, silent } from './_rig.ts';

const owner = 'this process';

for (const [title, holder, isRemembered] of [
  ['our intent stands: nobody else can have sent it', owner, false],
  ["another's intent stands: it may have been sent twice", 'another process', true],
  ['no intent stands any more: it may have been sent twice', undefined, true],
] as const) {
  t.test(title, async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    await world.loginElsewhere();
    const { clock, records } = world;
    const judge = createRecordJudge({ credential, records, seed: undefined, memory: createMemory() });
    const ends = createRenewalEnds({ credential, records, judge, clock, observer: silent, owner, leaseMs });
    const commit = createAnswerCommit({
      credential,
      provider: {},
      records,
      judge,
      ends,
      clock,
      observer: silent,
      owner,
    });

    const record = await records.read();
    const redeemed = record.tokens?.refreshToken ?? '';
    const about = fingerprint(record.stored?.salt ?? '', redeemed);
    const intent = holder === undefined ? undefined : { owner: holder, fingerprint: about, since: 0 };
    await records.commit(records.prepare(record, { intent }));
    const answer = { accessToken: 'new', refreshToken: 'newer', obtainedAtMs: clock.wallMs(), warnings: [] };
    t.strictSame(await commit(indifferent, await records.read(), answer, redeemed), { kind: 'refreshed' });

    const { stored, tokens } = await records.read();
    t.match(tokens, { accessToken: 'new', refreshToken: 'newer' });
    t.equal(stored?.intent, undefined);
    t.strictSame(stored?.unclear, isRemembered ? { fingerprint: fingerprint(stored?.salt ?? '', 'newer') } : undefined);
  });
}
