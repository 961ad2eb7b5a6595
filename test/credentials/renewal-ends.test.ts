// What the end of a renewal writes, and over whom it never writes: held against a record that others change meanwhile.
import t, { type Test } from 'tap';
import { fingerprint } from '../../src/credentials/fingerprint.ts';
import { createMemory } from '../../src/credentials/memory.ts';
import { createRecordJudge } from '../../src/credentials/record-judge.ts';
import type { RenewalHost } from '../../src/credentials/renewal.ts';
import { createRenewalEnds, type RenewalEnds } from '../../src/credentials/renewal-ends.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createWorld, credential, indifferent, leaseMs, silent, type World } from './_rig.ts';

interface Desk {
  readonly world: World;
  readonly ends: RenewalEnds;
  readonly host: RenewalHost;
  readonly dropped: string[];
  readonly failures: string[];
  /** Commits an intent about the token that is stored. */
  announce(owner: string, holdUntil?: number): Promise<void>;
}

const owner = 'this process';
const unanswered = new SidebearerError('token_endpoint_no_answer');

async function createDesk(t: Test): Promise<Desk> {
  const world = createWorld();
  t.teardown(() => world.end());
  await world.loginElsewhere();
  const { clock, records } = world;
  const judge = createRecordJudge({ credential, records, seed: undefined, memory: createMemory() });
  const dropped: string[] = [];
  const failures: string[] = [];
  const observer = { ...silent, failed: ({ code }: SidebearerError) => void failures.push(code) };
  return {
    world,
    ends: createRenewalEnds({ credential, records, judge, clock, observer, owner, leaseMs }),
    dropped,
    failures,
    host: { ...indifferent, drop: (code) => void dropped.push(code) },
    async announce(owner, holdUntil) {
      const record = await records.read();
      const about = fingerprint(record.stored?.salt ?? '', record.tokens?.refreshToken ?? '');
      const intent = {
        owner,
        fingerprint: about,
        since: clock.wallMs(),
        ...(holdUntil !== undefined && { holdUntil }),
      };
      await records.commit(records.prepare(record, { intent }));
    },
  };
}

t.test('our own intent is withdrawn, whether or not the record is at hand', async (t) => {
  const { world, ends, announce } = await createDesk(t);
  for (const isKnown of [true, false]) {
    await announce(owner);
    await ends.withdrawIntent(isKnown ? await world.record() : undefined);
    t.equal((await world.record()).stored?.intent, undefined);
  }
});

t.test("another's intent, a hold and a record without any are left alone, and nothing is written", async (t) => {
  const { world, ends, announce } = await createDesk(t);
  const leave = async (what: string): Promise<void> => {
    const before = await world.record();
    await ends.withdrawIntent(undefined);
    t.same((await world.record()).stored, before.stored, what);
  };
  await leave('none');
  await announce('another process');
  await leave("another's");
  await announce(owner, world.clock.wallMs() + 60_000);
  await leave('a hold');
});

t.test('a hold meets a login that came first: the login is adopted, and holds nobody', async (t) => {
  const { world, ends, host, announce } = await createDesk(t);
  await announce(owner);
  const base = await world.record();
  await world.loginElsewhere();
  t.strictSame(await ends.hold(base, unanswered, host), { kind: 'adopted' });
  t.equal((await world.record()).stored?.intent, undefined);
});

t.test('where there is nothing to wait for, no hold is written and no alert raised', async (t) => {
  const { world, ends, host, failures } = await createDesk(t);
  const base = await world.record();
  world.clock.jumpWall((base.tokens?.expiresAtMs ?? 0) - 2 * leaseMs - world.clock.wallMs());
  t.equal(await ends.hold(base, unanswered, host), undefined);
  t.same((await world.record()).stored, base.stored);
  t.strictSame(failures, []);
});

t.test('a logout that came first leaves nothing to serve', async (t) => {
  const { world, ends, host, dropped } = await createDesk(t);
  await world.logoutElsewhere();
  t.strictSame(ends.supersededBy(await world.record(), host), { kind: 'absent' });
  t.strictSame(dropped, ['grant_absent']);
});

t.test('a death is written with what it is about, and is no failure of the store', async (t) => {
  const { world, ends, host, announce, failures } = await createDesk(t);
  await announce(owner);
  const error = new SidebearerError('grant_revoked');
  t.strictSame(await ends.die(await world.record(), error, host), { kind: 'dead', error });
  t.match((await world.record()).stored, { dead: { code: 'grant_revoked' }, intent: undefined });
  t.strictSame(failures, []);
});
