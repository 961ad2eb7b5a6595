// A watch on the API server: what it tells, what it leaves out, and how it goes on when it ends, breaks or is refused.
import { writeFileSync } from 'node:fs';
import t from 'tap';
import type { Store } from '../../src/stores/store.ts';
import { createKubernetesSetting, type KubernetesSetting } from './_kubernetes-setting.ts';
import { createRecord } from './_record.ts';

const secret = { metadata: { name: 's-codex', resourceVersion: '9' } };

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Watches, and counts what is told. */
function watch(store: Store): { readonly told: number; close(): void } {
  let told = 0;
  const watched = store.watch?.('codex', () => {
    told += 1;
  });
  return {
    get told() {
      return told;
    },
    close: () => watched?.close(),
  };
}

const lastWatch = ({ server }: KubernetesSetting) => {
  const last = server.watches.at(-1);
  if (last === undefined) throw new Error('nobody watches');
  return last;
};

t.test('it asks for one object, from the version that was read, and for bookmarks', async (t) => {
  const setting = await createKubernetesSetting(t, ['codex']);
  watch(await setting.open());
  await until(() => setting.server.watches.length === 1);
  const query = Object.fromEntries(lastWatch(setting).query);
  const { timeoutSeconds, ...others } = query;
  t.strictSame(others, {
    watch: 'true',
    fieldSelector: 'metadata.name=s-codex',
    allowWatchBookmarks: 'true',
    resourceVersion: '1',
  });
  t.ok(Number(timeoutSeconds) >= 300 && Number(timeoutSeconds) <= 600);
});

t.test('every change is told; a bookmark, a blank line and what is no event are not', async (t) => {
  const setting = await createKubernetesSetting(t, ['codex']);
  const watched = watch(await setting.open());
  await until(() => setting.server.watches.length === 1);
  const open = lastWatch(setting);
  open.tell('BOOKMARK', secret);
  open.write('\n');
  open.write('{"type":"MODIFIED"}\n');
  open.write('no JSON\n[]\nnull\n');
  open.tell('MODIFIED', secret);
  await until(() => watched.told > 0);
  t.equal(watched.told, 1);
  const line = Buffer.from(`${JSON.stringify({ type: 'MODIFIED', object: { note: 'é' } })}\n`);
  const within = line.indexOf(0xc3) + 1;
  open.write(line.subarray(0, within));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(watched.told, 1, 'half an event');
  open.write(line.subarray(within));
  await until(() => watched.told > 1);
  open.write(
    `${JSON.stringify({ type: 'DELETED', object: secret })}\n${JSON.stringify({ type: 'ADDED', object: secret })}\n`,
  );
  await until(() => watched.told > 3);
  t.equal(watched.told, 4, 'two in one piece are two');
  t.equal(setting.server.watches.length, 1);
  t.strictSame(setting.warnings, []);
});

for (const how of ['410 in the stream', '410 as the status', 'the end', 'a broken connection'] as const) {
  t.test(`after ${how} it begins anew from what is there now, and tells what it missed`, async (t) => {
    const setting = await createKubernetesSetting(t, ['codex']);
    const { server, clock } = setting;
    const store = await setting.open();
    const { version } = await store.read('codex');
    const watched = watch(store);
    await until(() => server.watches.length === 1);
    t.equal(watched.told, 0);
    const open = lastWatch(setting);
    const other = await setting.open();
    await other.commit('codex', version, createRecord('codex'));
    if (how === '410 as the status') {
      const faults = [{ status: 410 }];
      server.fault = ({ query }) => (query.get('watch') === 'true' ? faults.shift() : undefined);
    }
    if (how === 'a broken connection') for (const session of server.sessions) session.destroy();
    else if (how === '410 in the stream') open.tell('ERROR', { kind: 'Status', code: 410, reason: 'Expired' });
    else open.end();
    await until(() => server.watches.length === 2);
    t.ok(watched.told > 0);
    t.equal(
      lastWatch(setting).query.get('resourceVersion'),
      server.objects.get('secrets/s-codex')?.metadata.resourceVersion,
      'from the version that was read last',
    );
    t.strictSame(setting.warnings, [], 'which is no failure');
    t.ok(clock.pauses.length > 0, 'never without a pause');
  });
}

t.test('what this process wrote or read itself is not told when a watch begins anew', async (t) => {
  const setting = await createKubernetesSetting(t, ['codex']);
  const { server } = setting;
  const store = await setting.open();
  const watched = watch(store);
  await until(() => server.watches.length === 1);
  await store.commit('codex', (await store.read('codex')).version, createRecord('codex'));
  lastWatch(setting).end();
  await until(() => server.watches.length === 2);
  await (await setting.open()).commit('codex', (await store.read('codex')).version, createRecord('codex'));
  await store.read('codex');
  lastWatch(setting).end();
  await until(() => server.watches.length === 3);
  t.equal(watched.told, 0);
});

t.test('watches that end as soon as they begin are asked for ever more seldom, up to 30 s', async (t) => {
  const setting = await createKubernetesSetting(t, ['codex']);
  const { server, clock } = setting;
  const watched = watch(await setting.open());
  for (let round = 1; round <= 10; round += 1) {
    await until(() => server.watches.length === round);
    lastWatch(setting).end();
  }
  await until(() => server.watches.length === 11);
  t.strictSame(clock.pauses.slice(0, 10), [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  // One that lasted was a good one.
  lastWatch(setting).tell('MODIFIED', secret);
  await until(() => watched.told > 0);
  clock.pass(30_000);
  lastWatch(setting).end();
  await until(() => server.watches.length === 12);
  t.equal(clock.pauses.at(-1), 250);
  watched.close();
});

t.test('a watch that is refused is told once; meanwhile the record is read from time to time', async (t) => {
  const setting = await createKubernetesSetting(t, ['codex']);
  const { server, warnings, clock } = setting;
  const isWatch = (query: URLSearchParams): boolean => query.get('watch') === 'true';
  let refused = 0;
  server.fault = ({ query }) => {
    if (!isWatch(query) || refused === 5) return undefined;
    refused += 1;
    return { status: refused % 2 === 0 ? 429 : 403 };
  };
  const watched = watch(await setting.open());
  await until(() => server.watches.length === 1);
  t.match(warnings, [
    { code: 'store_watch_failed', details: { credential: 'codex', status: 403, reason: 'watch Secret s-codex' } },
  ]);
  t.equal(warnings.length, 1);
  t.equal(watched.told, 5, 'each time');
  t.strictSame(clock.pauses, [250, 500, 1_000, 2_000, 4_000]);
  t.strictSame(warnings.length, 1);

  refused = 4;
  lastWatch(setting).end();
  await until(() => server.watches.length === 2);
  t.equal(warnings.length, 2, 'told again once it had worked');
});

t.test('401 to a watch reads the token again', async (t) => {
  const setting = await createKubernetesSetting(t, ['codex']);
  const { server } = setting;
  let refused = false;
  server.fault = ({ query }) => {
    if (query.get('watch') !== 'true' || refused) return undefined;
    refused = true;
    writeFileSync(`${server.account}/token`, 'second');
    return { status: 401 };
  };
  watch(await setting.open());
  await until(() => server.watches.length === 1);
  t.equal(server.asked.at(-1)?.token, 'Bearer second');
});

t.test('the last who closes ends the watch; nothing is told after', async (t) => {
  const setting = await createKubernetesSetting(t, ['codex']);
  const { server } = setting;
  const store = await setting.open();
  const [one, two] = [watch(store), watch(store)];
  await until(() => server.watches.length === 1);
  one.close();
  lastWatch(setting).tell('MODIFIED', secret);
  await until(() => two.told === 1);
  t.equal(one.told, 0);
  t.equal(server.watches.length, 1, 'one watch for both');
  two.close();
  const asked = server.asked.length;
  lastWatch(setting).tell('MODIFIED', secret);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(two.told, 1);
  t.equal(server.asked.length, asked, 'and nobody asks any more');
  await until(() => server.watches[0]?.isOver === true);
  const again = watch(store);
  await until(() => server.watches.length === 2);
  again.close();
});
