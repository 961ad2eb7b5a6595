// What becomes of an answer whose sender was overtaken: its tokens are kept, and what may follow is remembered with them.
import t, { type Test } from 'tap';
import { type CommitAnswer, createAnswerCommit } from '../../src/credentials/answer-commit.ts';
import { fingerprint } from '../../src/credentials/fingerprint.ts';
import { createMemory } from '../../src/credentials/memory.ts';
import { createRecordJudge } from '../../src/credentials/record-judge.ts';
import { createRenewalEnds } from '../../src/credentials/renewal-ends.ts';
import type { CurrentToken } from '../../src/credentials/token-set.ts';
import type { TokenAnswer } from '../../src/providers/provider.ts';
import { createWorld, credential, indifferent, leaseMs, silent, type World } from './_rig.ts';

const owner = 'this process';

async function createDesk(t: Test): Promise<{ world: World; commit: CommitAnswer; answer: TokenAnswer }> {
  const world = createWorld();
  t.teardown(() => world.end());
  await world.loginElsewhere();
  const { clock, records } = world;
  const judge = createRecordJudge({ credential, records, seed: undefined, memory: createMemory() });
  const means = { credential, records, judge, clock, observer: silent, owner };
  const ends = createRenewalEnds({ ...means, leaseMs });
  return {
    world,
    commit: createAnswerCommit({ ...means, provider: {}, ends }),
    answer: { accessToken: 'new', refreshToken: 'newer', obtainedAtMs: clock.wallMs(), warnings: [] },
  };
}

for (const [title, holder, isRemembered] of [
  ['our intent stands: nobody else can have sent it', owner, false],
  ["another's intent stands: it may have been sent twice", 'another process', true],
  ['no intent stands any more: it may have been sent twice', undefined, true],
] as const) {
  t.test(title, async (t) => {
    const { world, commit, answer } = await createDesk(t);
    const { records } = world;
    const record = await records.read();
    const redeemed = record.tokens?.refreshToken ?? '';
    const about = fingerprint(record.stored?.salt ?? '', redeemed);
    const intent = holder === undefined ? undefined : { owner: holder, fingerprint: about, since: 0 };
    await records.commit(records.prepare(record, { intent }));
    t.strictSame(await commit(indifferent, await records.read(), answer, redeemed), { kind: 'refreshed' });

    const { stored, tokens } = await records.read();
    t.match(tokens, { accessToken: 'new', refreshToken: 'newer' });
    t.equal(stored?.intent, undefined);
    t.strictSame(stored?.unclear, isRemembered ? { fingerprint: fingerprint(stored?.salt ?? '', 'newer') } : undefined);
  });
}

t.test('a login that came first is kept, and current at once', async (t) => {
  const { world, commit, answer } = await createDesk(t);
  const announced = await world.record();
  await world.loginElsewhere();
  const published: string[] = [];
  const host = { ...indifferent, publish: ({ tokens }: CurrentToken) => void published.push(tokens.accessToken ?? '') };
  const redeemed = announced.tokens?.refreshToken ?? '';
  t.strictSame(await commit(host, announced, answer, redeemed), { kind: 'superseded' });
  const { tokens } = await world.record();
  t.strictSame(published, [tokens?.accessToken]);
  t.not(tokens?.accessToken, 'new');
});
