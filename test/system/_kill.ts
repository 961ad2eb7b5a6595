// What must hold after a program was killed within a refresh, whichever store it was on: one look, one restart, and a
// login where the kill fell into the one window that no client can close.
import type { Test } from 'tap';
import { credential, type FaultWorld, send } from './_fault-world.ts';
import { eventually, runProgram } from './_process.ts';

export const killEnds = ['nothing was sent', 'the answer was lost', 'the new token is durable'] as const;
export type KillEnd = (typeof killEnds)[number];

/** Of the lease that shows that none is left. */
const afterwardsMs = 1_000;

/** @param what the step, for messages. The world is closed afterwards. */
export async function judgeKill(t: Test, world: FaultWorld, what: string): Promise<KillEnd> {
  const { endpoint } = world;
  const rotated = endpoint.redeems.length;
  const isCurrent = await world.isStoredCurrent();
  const again = await runProgram(world.config('restarted'));
  if (isCurrent) {
    await eventually(`${what}: a refresh after the restart`, async () =>
      (await world.refresh(again))?.status === 200 && endpoint.redeems.length > rotated ? true : undefined,
    );
    t.equal(endpoint.reuses.length, 0, `${what}: no reuse`);
    t.ok(await world.isStoredCurrent(), `${what}: what is stored is the newest`);
  } else {
    t.equal((await send(again))?.status, 200, `${what}: the token in hand goes on`);
    await world.refresh(again);
    await eventually(`${what}: the loss is told`, () =>
      again.lines.some(({ code, level }) => code === 'refresh_outcome_unknown' && level === 'error') ? true : undefined,
    );
    t.equal((await world.record()).stored?.dead?.code, 'refresh_outcome_unknown', `${what}: and remembered`);
    t.equal(endpoint.redeems.length, rotated + 1, `${what}: tried once`);
    await world.logIn();
    await eventually(`${what}: a login cures it`, async () =>
      (await world.refresh(again))?.status === 200 ? true : undefined,
    );
  }
  t.equal(await again.end(), 0, what);
  t.equal((await world.record()).stored?.intent, undefined, `${what}: no intent is left`);
  const lease = await world.storage.store.lease(credential, 'afterwards', afterwardsMs);
  t.equal(lease.held, false, `${what}: no lease is left`);
  await world.close();
  return rotated === 0 ? 'nothing was sent' : isCurrent ? 'the new token is durable' : 'the answer was lost';
}
