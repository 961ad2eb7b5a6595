// Two replicas share the store: the one that started a login may not be the one that the callback reaches.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { createSealing } from '../../src/stores/sealing.ts';
import { beginLogin, codeOf, comeBack, createFakeCredential, startPort } from './_fakes.ts';

t.test('a callback that reaches another replica finishes the login, and the first reports no expiry', async (t) => {
  const key = randomBytes(32);
  const [here, there] = [createFakeCredential(), createFakeCredential()];
  const first = await startPort(t, [here], { sealing: createSealing([key]) });
  const second = await startPort(t, [there], { sealing: createSealing([key]), logins: first.store.logins });
  const { state, cookie } = await beginLogin(first.port);
  await first.clock.advance(60_000);
  const reply = await comeBack(second.port, { code: 'c', state }, cookie);
  t.equal(reply.status, 200);
  t.same([here.exchanges.length, there.exchanges.length], [0, 1]);
  t.equal(there.exchanges[0]?.verifier, here.requested[0]?.verifier);
  await first.clock.advance(30 * 60_000);
  t.same(first.events, ['started codex']);
});

t.test('a replica with another key answers `record_unopenable` and takes nothing', async (t) => {
  const first = await startPort(t, [createFakeCredential()]);
  const second = await startPort(t, [createFakeCredential()], { logins: first.store.logins });
  const { state, cookie } = await beginLogin(first.port);
  const reply = await comeBack(second.port, { code: 'c', state }, cookie);
  t.equal(reply.status, 500);
  t.equal(codeOf(reply), 'record_unopenable');
  t.equal((await comeBack(first.port, { code: 'c', state }, cookie)).status, 200);
});
