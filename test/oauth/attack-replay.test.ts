// Mallory reads an answer after its browser (history, log, referrer) and sends it again; or he sends it many times at
// once, to several replicas, to be the one that is first; or he doubles a parameter, so that two readers of one address
// see two things. A state is good once, for one, and a parameter has one value (RFC 9700, section 4.5.3).
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { createMemoryStore } from '../../src/stores/memory.ts';
import { createSealing } from '../../src/stores/sealing.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { beginLogin, codeOf, comeBack, createFakeCredential, startPort } from './_fakes.ts';

t.test('an answer that was used is refused, with its cookie too, for as long as it would have lived', async (t) => {
  const credential = createFakeCredential();
  const { port, clock } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  t.equal((await comeBack(port, { code: 'c', state }, cookie)).status, 200);
  for (const afterMs of [0, 60_000, 28 * 60_000]) {
    await clock.advance(afterMs);
    for (const given of [cookie, undefined]) {
      const replayed = await comeBack(port, { code: 'c', state }, given);
      t.equal(replayed.status, 400);
      t.equal(codeOf(replayed), 'state_used');
    }
  }
  await clock.advance(60 * 60_000);
  t.match(codeOf(await comeBack(port, { code: 'c', state }, cookie)), /^state_(?:used|expired|unknown)$/);
  t.equal(credential.exchanges.length, 1);
});

t.test('sent to three replicas at once, eight times each, one of all is exchanged', async (t) => {
  const sealing = createSealing([randomBytes(32)]);
  const credentials = [createFakeCredential(), createFakeCredential(), createFakeCredential()];
  const [first = createFakeCredential(), ...others] = credentials;
  // All have seen it pending before the first one takes it.
  const count = credentials.length * 8;
  const { logins: kept } = createMemoryStore({ clock: createFakeClock() });
  const allLooked = Promise.withResolvers<void>();
  let looked = 0;
  const find: typeof kept.find = async (id) => {
    const found = await kept.find(id);
    looked += 1;
    if (looked === count) allLooked.resolve();
    await allLooked.promise;
    return found;
  };
  const logins = { ...kept, find };
  const here = await startPort(t, [first], { sealing, logins });
  const ports = [here.port];
  for (const other of others) ports.push((await startPort(t, [other], { sealing, logins })).port);
  const { state, cookie } = await beginLogin(here.port);
  const replies = await Promise.all(
    ports.flatMap((port) => Array.from({ length: 8 }, () => comeBack(port, { code: 'c', state }, cookie))),
  );
  t.equal(credentials.flatMap(({ exchanges }) => exchanges).length, 1);
  t.equal(replies.filter(({ status }) => status === 200).length, 1);
  t.equal(replies.filter((reply) => codeOf(reply) === 'state_used').length, count - 1);
});

t.test('a doubled state ends nothing, whichever of the two is good', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  for (const query of [
    `state=${state}&state=${state}&code=c`,
    `state=${state}&code=c&state=other`,
    `state=other&code=c&state=${state}`,
    `state=&state=${state}&code=c`,
    `code=c&state=${state}&st%61te=other`,
  ]) {
    t.equal(codeOf(await comeBack(port, query, cookie)), 'state_unknown', query);
  }
  t.equal(credential.exchanges.length, 0);
  t.equal((await comeBack(port, { code: 'c', state }, cookie)).status, 200);
});
