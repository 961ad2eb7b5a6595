// `refreshToken` of the configuration is a seed: redeemed once, under the lease, after reading; then the store's.
import t from 'tap';
import { createWorld, due, hour, patient, tokenOf, watch } from './_rig.ts';

t.test('a seed is redeemed once, and its fingerprint is kept', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed');
  const p = await world.started({ seed: 'seed' });
  t.strictSame(world.provider.redeems, ['seed']);
  t.strictSame(p.ends, ['refreshed']);
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  const record = await world.record();
  t.match(record, { tokens: { refreshToken: 'seed/1' } });
  t.equal(record.stored?.seed?.fingerprint, world.records.fingerprintOf(record, 'seed'));
  t.notMatch(JSON.stringify(record.stored), /"seed"\s*:\s*"seed/);
});

t.test('its intent is durable before it is redeemed, under the lease', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed');
  const p = world.process({ seed: 'seed' });
  let announced = false;
  p.store.before = (operation, record) => {
    if (operation === 'commit' && record?.intent !== undefined) {
      announced = true;
      t.strictSame(world.provider.redeems, []);
      t.ok(p.store.log.includes('lease'));
      t.equal(record.generation, 1);
    }
  };
  await p.refresher.start();
  await world.clock.advance(0);
  t.ok(announced);
  t.match((await world.record()).stored, { generation: 2 });
});

t.test('a restart does not redeem it again; the rotated one is used', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed');
  const p = await world.started({ seed: 'seed' });
  await p.stop();
  const next = await world.started({ seed: 'seed' });
  t.equal(tokenOf(next.refresher.authorization()), 'access-1');
  await world.clock.advance(due);
  t.strictSame(world.provider.redeems, ['seed', 'seed/1']);
  t.equal(world.provider.reuses, 0);
});

t.test('a changed seed is taken, though the old grant is dead', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed');
  world.provider.plant('fresh');
  const p = await world.started({ seed: 'seed' });
  world.provider.steps.push({ fails: 'grant_revoked' });
  await world.clock.advance(due);
  t.equal(p.refresher.status().state, 'dead');
  await p.stop();
  const next = await world.started({ seed: 'fresh' });
  t.equal(world.provider.redeems.at(-1), 'fresh');
  t.match((await world.record()).tokens, { refreshToken: 'fresh/1' });
  t.equal(next.refresher.status().state, 'fresh');
});

t.test('a changed seed is taken though a process with the old one is refreshing just then', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed');
  world.provider.plant('fresh');
  await world.started({ seed: 'seed' });
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  const next = await world.started({ seed: 'fresh' });
  await world.clock.advance(20_000);
  t.strictSame(world.provider.redeems, ['seed', 'seed/1', 'fresh']);
  t.strictSame(next.ends, ['refreshed']);
});

t.test('of five processes with one seed one redeems it', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed');
  world.provider.answerMs = 2_000;
  const crowd = await Promise.all(Array.from({ length: 5 }, () => world.started({ seed: 'seed' })));
  await world.clock.advance(20_000);
  t.strictSame(world.provider.redeems, ['seed']);
  t.equal(world.provider.reuses, 0);
  t.ok(crowd.every(({ refresher }) => tokenOf(refresher.authorization()) === 'access-1'));
});

t.test('a seed that the provider refuses is dead, and is not tried again by a restart', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const p = await world.started({ seed: 'never planted' });
  t.strictSame(p.ends, ['grant_rejected']);
  await p.stop();
  const next = await world.started({ seed: 'never planted' });
  await world.clock.advance(hour);
  t.equal(next.refresher.status().state, 'dead');
  t.equal(world.provider.calls, 1);
});

t.test(
  'with the provider down a seed is no token yet: 503 with its code and Retry-After, and it is redeemed later',
  async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    world.provider.plant('seed');
    world.provider.always = { fails: 'token_endpoint_unreachable' };
    const p = await world.started({ seed: 'seed' });
    const asked = watch(p.refresher.wait(patient));
    await world.clock.advance(5_000);
    t.equal(asked.code, 'token_endpoint_unreachable', 'nothing has expired that never was');
    t.ok((asked.retryAfterMs ?? 0) > 0);
    t.equal(p.refresher.status().usable, false);
    await world.clock.advance(60_000);
    const later = watch(p.refresher.wait(patient));
    await world.clock.advance(35_000);
    t.equal(later.code, 'token_endpoint_unreachable', 'nor later');
    await p.stop();
    world.provider.always = {};
    const next = await world.started({ seed: 'seed' });
    await world.clock.advance(60_000);
    t.strictSame(world.provider.redeems, ['seed']);
    t.strictSame(next.ends, ['refreshed']);
  },
);

t.test(
  'a network that comes after the process is found within seconds, by pauses that grow with its delay',
  async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    world.provider.plant('seed');
    world.provider.always = { fails: 'token_endpoint_unreachable' };
    const p = await world.started({ seed: 'seed' });
    await world.clock.advance(6_000);
    t.equal(p.refresher.status().usable, false);
    world.provider.always = {};
    await world.clock.advance(6_000);
    t.equal(p.refresher.status().usable, true, 'not after breaker.resetAfter');
    t.equal(p.refresher.status().breaker, 'closed');
    t.strictSame(world.provider.redeems, ['seed']);
  },
);

t.test(
  'killed with the seed sent: the next process waits, tries once, and tells refresh_outcome_unknown',
  async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    world.provider.plant('seed');
    world.provider.answerMs = 5_000;
    const p = await world.started({ seed: 'seed' });
    await world.clock.advance(1_000);
    p.kill();
    const next = await world.started({ seed: 'seed' });
    await world.clock.advance(60_000);
    t.strictSame(next.ends, ['refresh_outcome_unknown']);
  },
);

t.test('after a logout the same seed stays out', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed');
  const p = await world.started({ seed: 'seed' });
  await world.logoutElsewhere();
  await world.clock.advance(0);
  t.equal(p.refresher.status().state, 'absent');
  await p.stop();
  const next = await world.started({ seed: 'seed' });
  await world.clock.advance(hour);
  t.equal(next.refresher.status().state, 'absent');
  t.strictSame(world.provider.redeems, ['seed']);
});

t.test('a seed on a record that is bound elsewhere: the same seed sends nothing, a changed one is taken', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed');
  world.provider.plant('fresh');
  const first = await world.started({ seed: 'seed' });
  await first.stop();
  const bound = { issuer: 'https://other.example', clientId: 'client' };
  const same = await world.started({ seed: 'seed', bound });
  t.equal(same.refresher.status().lastError?.code, 'record_bound_elsewhere');
  await same.stop();
  await world.started({ seed: 'fresh', bound });
  t.strictSame(world.provider.redeems, ['seed', 'fresh']);
});
