// Credentials over many reloads: what comes is read, what goes is let go of, and nothing of either stays behind.
import { createHook } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createCredentialSet } from '../../src/assembly/credential-set.ts';
import { openWays } from '../../src/assembly/ways.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { createMemoryStore } from '../../src/stores/memory.ts';
import { createSealing } from '../../src/stores/sealing.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { silent } from '../credentials/_rig.ts';

function configOf(credentials: Readonly<Record<string, object>>): Config {
  const [credential] = Object.keys(credentials);
  const loaded = loadConfig({
    file: 'test.yaml',
    text: JSON.stringify({
      routes: [{ upstream: 'https://api.example', credential }],
      credentials,
      store: { kind: 'memory' },
    }),
    env: {},
    readFile: () => {
      throw new Error('no file');
    },
  });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.mistakes));
  return loaded.config;
}

function create(t: Test) {
  const watches = new Set<number>();
  let begun = 0;
  const hook = createHook({
    init(id, type) {
      if (type !== 'FSEVENTWRAP') return;
      watches.add(id);
      begun += 1;
    },
    destroy: (id) => void watches.delete(id),
  }).enable();
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  writeFileSync(join(folder, 'token'), 'token-1');
  const clock = createFakeClock();
  const store = createMemoryStore({ clock });
  const set = createCredentialSet({
    clock,
    store,
    sealing: createSealing([randomBytes(32)]),
    observer: silent,
    owner: 'owner',
    leaseMs: 30_000,
    hasLoginPages: true,
  });
  t.teardown(async () => {
    await set.stop();
    set.close();
    await store.close();
    hook.disable();
    rmSync(folder, { recursive: true, force: true });
  });
  const prepare = async (config: Config) => await set.prepare(config, await openWays(config, clock));
  const watching = async (count: number): Promise<void> => {
    while (watches.size !== count) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  const file = { provider: 'file', path: join(folder, 'token') };
  const machine = {
    provider: 'oauth2',
    tokenUrl: 'http://127.0.0.1:1/token',
    authorizeUrl: 'http://127.0.0.1:1/authorize',
    grant: 'authorization_code',
    clientId: 'app',
    clientAuth: 'none',
  };
  return { set, clock, prepare, watching, begun: () => begun, file, machine };
}

t.test('two hundred reloads, of the same and of others, leave neither watches nor timers behind', async (t) => {
  const { set, clock, prepare, watching, begun, file, machine } = create(t);
  const first = configOf({ file, machine });
  (await prepare(first)).commit();
  set.start();
  await watching(1);
  const [refresher, armed] = [set.all.get('file'), clock.armed];
  for (let round = 0; round < 200; round += 1) {
    (await prepare(configOf({ file, machine }))).commit();
    set.start();
  }
  t.equal(set.all.get('file'), refresher);
  t.equal(begun(), 1, 'what stays the same is not touched');
  await watching(1);
  t.equal(clock.armed, armed);
  for (let round = 0; round < 200; round += 1) {
    const changed = { ...machine, refresh: { timeout: `${(round % 5) + 1}s` } };
    const gone = (await prepare(configOf({ [`file-${round}`]: file, machine: changed }))).commit();
    set.start();
    t.strictSame(gone, [round === 0 ? 'file' : `file-${round - 1}`]);
  }
  t.strictSame([...set.all.keys()], ['file-199', 'machine']);
  await watching(1);
  t.equal(clock.armed, armed);
  t.strictSame(set.dirty(), []);
});

t.test('what was prepared and dropped is followed by nobody, and the credentials in force serve on', async (t) => {
  const { set, prepare, watching, file, machine } = create(t);
  (await prepare(configOf({ file }))).commit();
  set.start();
  await watching(1);
  const before = set.all.get('file')?.authorization()?.rawHeaders;
  t.ok(before);
  for (let round = 0; round < 20; round += 1) {
    const prepared = await prepare(
      configOf({ file: { ...file, inject: { header: 'x-token' } }, other: file, machine }),
    );
    await watching(2);
    prepared.drop();
    await watching(1);
  }
  t.strictSame([...set.all.keys()], ['file']);
  t.strictSame(set.all.get('file')?.authorization()?.rawHeaders, before);
});

t.test('a credential that went and comes back serves again, with its token from the first moment', async (t) => {
  const { set, prepare, watching, file, machine } = create(t);
  (await prepare(configOf({ file, machine }))).commit();
  set.start();
  for (let round = 0; round < 5; round += 1) {
    (await prepare(configOf({ machine }))).commit();
    t.equal(set.all.has('file'), false);
    // At once, or when it is over.
    if (round % 2 === 0) await watching(0);
    (await prepare(configOf({ file, machine }))).commit();
    t.ok(set.all.get('file')?.authorization());
    set.start();
    await watching(1);
    await new Promise((resolve) => setImmediate(resolve));
    t.ok(set.all.get('file')?.authorization(), 'and keeps it');
  }
});
