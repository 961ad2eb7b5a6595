// Redis as it fails: killed, frozen, emptied, closed to us. Nothing hangs, nothing that was confirmed is lost while one
// process lives, and every failure has its code.
import t, { type Test } from 'tap';
import { ABSENT, type Store } from '../../src/stores/store.ts';
import { createRecord } from './_record.ts';
import { type RedisServer, skip, startRedisServer } from './_redis-server.ts';
import { createRedisSetting } from './_redis-setting.ts';

const secret = 'p4ssw0rd-of-redis';

async function commit(store: Store, expected: string, changes = {}): Promise<string> {
  const result = await store.commit('codex', expected, createRecord('codex', changes));
  if (!result.committed) throw new Error('the commit met a conflict');
  return result.version;
}

/** Resolves at the next call of the watch. */
function nextChange(store: Store): Promise<void> {
  return new Promise((resolve) => {
    const watch = store.watch?.('codex', () => {
      watch?.close();
      resolve();
    });
  });
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

t.test(
  'a server that was killed and is back has every commit, and who called meanwhile only waited',
  { skip },
  async (t) => {
    const server = await startRedisServer(t);
    const { open } = createRedisSetting(t, server.url);
    const [store, other] = [await open(), await open()];
    let version = ABSENT;
    for (let round = 1; round <= 3; round += 1) {
      const committing = commit(store, version, { generation: round });
      await server.kill();
      await server.start();
      version = await committing;
      t.match(await other.read('codex'), { version, record: { generation: round } });
    }
  },
);

t.test('a server that is away is store_unavailable, for reads, writes, leases and logins', { skip }, async (t) => {
  const server = await startRedisServer(t);
  const { open } = createRedisSetting(t, server.url);
  const store = await open();
  await commit(store, ABSENT);
  await server.kill();
  const expected = { code: 'store_unavailable', details: { address: `127.0.0.1:${server.port}` } };
  await Promise.all([
    t.rejects(store.read('codex'), expected),
    t.rejects(store.commit('codex', ABSENT, createRecord('codex')), expected),
    t.rejects(store.lease('codex', 'me', 1_000), expected),
    t.rejects(store.logins.find('0'.repeat(64)), expected),
    t.rejects(store.probe(), expected),
  ]);
  await server.start();
  t.equal((await store.read('codex')).record?.generation, 1, 'and it recovers by itself');
});

t.test('a frozen server ends in a code, and one commit is made once when it goes on', { skip }, async (t) => {
  const server = await startRedisServer(t);
  const { open } = createRedisSetting(t, server.url);
  const store = await open();
  const version = await commit(store, ABSENT);
  const record = createRecord('codex', { generation: 2 });
  server.signal('SIGSTOP');
  await t.rejects(store.commit('codex', version, record), { code: 'store_unavailable' });
  server.signal('SIGCONT');
  t.match(await store.commit('codex', version, record), { committed: true }, 'its own earlier try is no conflict');
  t.match((await store.read('codex')).record, { writeId: record.writeId });
});

t.test(
  'a record that the server lost is written back by a process that knows it, with a warning',
  { skip },
  async (t) => {
    const server = await startRedisServer(t);
    const { open, warnings } = createRedisSetting(t, server.url);
    const [store, fresh] = [await open(), await open()];
    const version = await commit(store, ABSENT, { generation: 7 });
    await server.admin.flushall();
    await server.admin.script('FLUSH');
    t.same(await fresh.read('codex'), { version: ABSENT, record: undefined }, 'who never knew it finds nothing');
    t.match(await store.read('codex'), { version, record: { generation: 7 } });
    t.match(await fresh.read('codex'), { version, record: { generation: 7 } });
    t.equal(warnings.filter(({ code }) => code === 'store_data_lost').length, 1);
  },
);

t.test(
  'a commit upon what the server lost is a conflict, and the next read has the record again',
  { skip },
  async (t) => {
    const server = await startRedisServer(t);
    const store = await createRedisSetting(t, server.url).open();
    const version = await commit(store, ABSENT, { generation: 7 });
    await server.admin.flushall();
    t.match(await store.commit('codex', version, createRecord('codex')), { committed: false });
    t.match(await store.read('codex'), { version, record: { generation: 7 } });
    await commit(store, version, { generation: 8 });
  },
);

t.test(
  'an older generation is replaced by what is remembered; a record that was begun anew stays',
  { skip },
  async (t) => {
    const server = await startRedisServer(t);
    const { open, keyPrefix } = createRedisSetting(t, server.url);
    const store = await open();
    await commit(store, ABSENT, { generation: 7 });
    const key = `${keyPrefix}record:codex`;
    await server.admin.set(key, JSON.stringify(createRecord('codex', { generation: 6 })));
    t.equal((await store.read('codex')).record?.generation, 7);
    const anew = createRecord('codex', { generation: 1, salt: Buffer.alloc(16, 9).toString('base64') });
    await server.admin.set(key, JSON.stringify(anew));
    t.match((await store.read('codex')).record, { generation: 1, writeId: anew.writeId });
  },
);

t.test('an edit by hand counts as a change: a commit upon the former text is a conflict', { skip }, async (t) => {
  const server = await startRedisServer(t);
  const { open, keyPrefix } = createRedisSetting(t, server.url);
  const store = await open();
  const version = await commit(store, ABSENT);
  const { record } = await store.read('codex');
  const edited = { ...record, operator: { disabled: true, note: 'by hand' } };
  await server.admin.set(`${keyPrefix}record:codex`, JSON.stringify(edited));
  t.match(await store.commit('codex', version, createRecord('codex')), { committed: false });
  t.same((await store.read('codex')).record, edited);
});

t.test('what was committed while the subscription was lost is told when it is back', { skip }, async (t) => {
  const server = await startRedisServer(t);
  const { open } = createRedisSetting(t, server.url);
  const [store, other] = [await open(), await open()];
  const first = nextChange(store);
  const version = await commit(other, ABSENT);
  await first;
  await store.read('codex');
  const second = nextChange(store);
  await server.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await commit(other, version, { generation: 2 });
  await second;
  t.equal((await store.read('codex')).record?.generation, 2);
});

t.test('torn, foreign, newer and mistyped records have their codes and are left as they are', { skip }, async (t) => {
  const server = await startRedisServer(t);
  const { open, keyPrefix } = createRedisSetting(t, server.url);
  const key = `${keyPrefix}record:codex`;
  const whole = JSON.stringify(createRecord('codex'));
  const texts: readonly (readonly [name: string, text: string | Buffer, code: string])[] = [
    ['torn', whole.slice(0, 40), 'record_corrupt'],
    ['empty', '', 'record_corrupt'],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x7b]), 'record_corrupt'],
    ['of another credential', JSON.stringify(createRecord('other')), 'record_corrupt'],
    ['newer', JSON.stringify(createRecord('codex', { format: 2 })), 'record_format_newer'],
  ];
  for (const [name, text, code] of texts) {
    await server.admin.set(key, text);
    const store = await open();
    await t.rejects(store.read('codex'), { code }, name);
    t.match(await store.commit('codex', ABSENT, createRecord('codex')), { committed: false }, name);
    t.same(await server.admin.getBuffer(key), Buffer.from(text), name);
  }
  await server.admin.del(key);
  await server.admin.lpush(key, 'x');
  await t.rejects((await open()).read('codex'), { code: 'record_corrupt' });
  t.equal(await server.admin.type(key), 'list');
});

t.test('answers of a server that will not write have codes', { skip }, async (t) => {
  const server = await startRedisServer(t);
  const { open } = createRedisSetting(t, server.url);
  const store = await open();
  await commit(store, ABSENT);
  const refused = (reason: RegExp) =>
    t.rejects(
      store.commit('codex', ABSENT, createRecord('codex')).then(() => store.probe()),
      {
        code: 'store_write_failed',
        details: { reason },
      },
    );
  await server.admin.config('SET', 'maxmemory', '1');
  await refused(/OOM/);
  await server.admin.config('SET', 'maxmemory', '0');
  await server.admin.config('SET', 'min-replicas-to-write', '1');
  await refused(/NOREPLICAS/);
  await server.admin.config('SET', 'min-replicas-to-write', '0');
  await server.admin.replicaof('127.0.0.1', String(server.port + 1));
  await refused(/READONLY/);
  await server.admin.replicaof('NO', 'ONE');
  await store.probe();
});

t.test('a wrong or missing password is store_forbidden at once, and is told nowhere', { skip }, async (t) => {
  const server = await startRedisServer(t, ['--requirepass', secret]);
  for (const userinfo of ['', ':wrong-password@', 'nobody:wrong-password@']) {
    const { open } = createRedisSetting(t, server.url.replace('//', `//${userinfo}`));
    const store = await open();
    const error = await store.read('codex').catch((thrown: unknown) => thrown);
    t.match(error, { code: 'store_forbidden' }, userinfo);
    t.notMatch(JSON.stringify(Object.entries(error ?? {})), /wrong-password/);
    t.equal(error instanceof Error ? error.cause : 'none', undefined, 'a reply of ioredis holds its command');
  }
  const { open } = createRedisSetting(t, server.url.replace('//', `//:${secret}@`));
  await (await open()).probe();
});

t.test('a server that may lose what it confirmed is warned about, once for each reason', { skip }, async (t) => {
  const reasonsOf = async (server: RedisServer, t: Test): Promise<(string | undefined)[]> => {
    const { open, warnings } = createRedisSetting(t, server.url);
    const store = await open();
    await store.probe();
    await server.admin.call('CLIENT', 'KILL', 'TYPE', 'normal').catch(() => undefined);
    await store.probe();
    await until(() => warnings.length >= 2 || server.url === durable.url);
    return warnings.filter(({ code }) => code === 'store_not_durable').map(({ details }) => details.reason);
  };
  const durable = await startRedisServer(t);
  const loose = await startRedisServer(t, ['--maxmemory-policy', 'allkeys-lru', '--appendonly', 'yes']);
  t.same(await reasonsOf(durable, t), []);
  t.same(await reasonsOf(loose, t), ['appendfsync is not always', 'maxmemory-policy is not noeviction']);
});
