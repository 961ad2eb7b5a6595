// A record on disk that is not what was written is told apart by its code, and is left exactly as it is.
import { execFileSync } from 'node:child_process';
import { chmod, chown, link, lstat, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createSealing } from '../../src/stores/sealing.ts';
import type { Store } from '../../src/stores/store.ts';
import { createFileSetting, type FileSetting } from './_file-setting.ts';
import { createRecord } from './_record.ts';

const isRoot = process.geteuid?.() === 0;
const needsRoot = isRoot ? {} : { skip: 'only root can give a file away' };

interface Stored extends FileSetting {
  readonly store: Store;
  readonly file: string;
  readonly text: string;
}

/** One record of `codex`, as version 1. */
async function startStored(t: Test): Promise<Stored> {
  const setting = await createFileSetting(t);
  const store = await setting.open();
  await store.commit('codex', '0', createRecord('codex'));
  const file = join(setting.path, 'records', 'codex', '1');
  return { ...setting, store, file, text: await readFile(file, 'utf8') };
}

/** Reading and committing both fail with `code`, naming the file, and nothing in the folder changes. */
async function assertRefused(t: Test, { store, file, path }: Stored, code: ErrorCode, refused = file): Promise<void> {
  const folder = join(path, 'records', 'codex');
  const before = await readdir(folder);
  await t.rejects(store.read('codex'), { code, details: { path: refused } });
  await t.rejects(store.commit('codex', '1', createRecord('codex')), { code });
  await t.rejects(store.commit('codex', '0', createRecord('codex')), { code });
  t.same(await readdir(folder), before, 'nothing was written beside it');
  t.same(await store.list(), ['codex']);
}

t.test('a file that is not a whole record of its credential answers record_corrupt and is never buried', async (t) => {
  const contents: Record<string, (text: string) => string | Buffer> = {
    empty: () => '',
    'torn in the middle': (text) => text.slice(0, text.length / 2),
    'torn before its last brace': (text) => text.trimEnd().slice(0, -1),
    'zeroes, as after a power failure': (text) => Buffer.alloc(text.length),
    'not UTF-8': (text) => Buffer.from(text.replace('é', '\u00ff'), 'latin1'),
    'something after it': (text) => `${text}${text}`,
    'another kind of JSON': () => '[]',
    null: () => 'null',
    'without a write id': (text) => text.replace('"writeId"', '"writeIe"'),
    'of another credential': (text) => text.replace('"credential":"codex"', '"credential":"other"'),
  };
  for (const [name, make] of Object.entries(contents)) {
    await t.test(name, async (t) => {
      const stored = await startStored(t);
      const content = make(stored.text);
      await writeFile(stored.file, content);
      await assertRefused(t, stored, 'record_corrupt');
      t.same(await readFile(stored.file), Buffer.from(content));
    });
  }
});

t.test('a record of a newer format answers record_format_newer and is left as it is', async (t) => {
  const stored = await startStored(t);
  const newer = JSON.stringify({ format: 2, all: 'different' });
  await writeFile(stored.file, newer);
  await assertRefused(t, stored, 'record_format_newer');
  t.equal(await readFile(stored.file, 'utf8'), newer);
});

t.test('two records that were swapped between credentials both answer record_corrupt', async (t) => {
  const { store, path, file } = await startStored(t);
  await store.commit('other', '0', createRecord('other'));
  const other = join(path, 'records', 'other', '1');
  await rename(file, join(path, 'aside'));
  await rename(other, file);
  await rename(join(path, 'aside'), other);
  await t.rejects(store.read('codex'), { code: 'record_corrupt', details: { credential: 'codex', path: file } });
  await t.rejects(store.read('other'), { code: 'record_corrupt', details: { credential: 'other', path: other } });
});

t.test(
  'any one flipped bit is refused, or leaves a whole record whose tokens open unaltered or not at all',
  async (t) => {
    const { store, file } = await startStored(t);
    const sealing = createSealing([Buffer.alloc(32, 1)]);
    const sealed = sealing.seal('secret tokens', 'codex 1');
    await store.commit('codex', '1', createRecord('codex', { sealed }));
    const current = join(file, '..', '2');
    const bytes = await readFile(current);
    const seen = new Set<string>();
    for (let bit = 0; bit < bytes.length * 8; bit += 3) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await writeFile(current, flipped);
      try {
        const { record } = await store.read('codex');
        if (record?.credential !== 'codex' || typeof record.operator.disabled !== 'boolean')
          throw new Error('not whole');
        const opened = sealing.open(record.sealed ?? '', `${record.credential} ${record.generation}`);
        if (opened !== 'secret tokens') throw new Error('altered tokens were opened');
        seen.add('whole');
      } catch (thrown) {
        seen.add(thrown instanceof SidebearerError ? thrown.code : String(thrown));
      }
    }
    t.same([...seen].sort(), ['record_corrupt', 'record_format_newer', 'record_unopenable', 'whole'].sort());
  },
);

t.test('a record that others may read or write answers store_permissions_open', async (t) => {
  for (const mode of [0o604, 0o644, 0o602, 0o666, 0o601]) {
    const stored = await startStored(t);
    await chmod(stored.file, mode);
    await assertRefused(t, stored, 'store_permissions_open');
    t.equal((await lstat(stored.file)).mode & 0o777, mode, 'its mode is not ours to change');
    await chmod(stored.file, 0o600);
    t.match((await stored.store.read('codex')).record, { credential: 'codex' });
  }
});

t.test('a folder that others may enter answers store_permissions_open', async (t) => {
  const stored = await startStored(t);
  const folder = join(stored.path, 'records', 'codex');
  await chmod(folder, 0o755);
  await assertRefused(t, stored, 'store_permissions_open', folder);
});

t.test(
  "symlinks, folders, pipes and sockets in a record's place answer store_permissions_open and block nobody",
  async (t) => {
    await t.test('a symlink, even to a good record of ours', async (t) => {
      const stored = await startStored(t);
      await rename(stored.file, join(stored.path, 'elsewhere'));
      await symlink(join(stored.path, 'elsewhere'), stored.file);
      await assertRefused(t, stored, 'store_permissions_open');
    });
    await t.test('a symlink that leads nowhere', async (t) => {
      const stored = await startStored(t);
      await rm(stored.file);
      await symlink('/nowhere/at/all', stored.file);
      await assertRefused(t, stored, 'store_permissions_open');
    });
    await t.test('a symlink in the place of the folder', async (t) => {
      const stored = await startStored(t);
      const folder = join(stored.path, 'records', 'codex');
      await rename(folder, join(stored.path, 'elsewhere'));
      await symlink(join(stored.path, 'elsewhere'), folder);
      await assertRefused(t, stored, 'store_permissions_open', folder);
    });
    await t.test('a folder', async (t) => {
      const stored = await startStored(t);
      await rm(stored.file);
      await mkdir(stored.file, { mode: 0o700 });
      await assertRefused(t, stored, 'store_permissions_open');
    });
    await t.test('a pipe', async (t) => {
      const stored = await startStored(t);
      await rm(stored.file);
      execFileSync('mkfifo', ['-m', '600', stored.file]);
      await assertRefused(t, stored, 'store_permissions_open');
    });
    await t.test('a socket', async (t) => {
      const stored = await startStored(t);
      await rm(stored.file);
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(stored.file, resolve));
      t.teardown(() => new Promise((resolve) => server.close(resolve)));
      await assertRefused(t, stored, 'store_permissions_open');
    });
  },
);

t.test('a record that belongs to another user answers store_permissions_open', needsRoot, async (t) => {
  const stored = await startStored(t);
  await chown(stored.file, 65_534, 65_534);
  await assertRefused(t, stored, 'store_permissions_open');
});

t.test('rights of the group are tolerated and told once, as a volume with fsGroup gives them', async (t) => {
  const { store, file, path, warnings } = await startStored(t);
  await chmod(file, 0o660);
  await chmod(join(path, 'records', 'codex'), 0o2770);
  t.equal((await store.read('codex')).version, '1');
  t.match(await store.commit('codex', '1', createRecord('codex')), { committed: true });
  t.same(
    warnings.map(({ code }) => code),
    ['store_permissions_wide'],
  );
});

t.test('what is written is 0600 in folders of 0700, whatever the umask allows', async (t) => {
  const before = process.umask(0);
  t.teardown(() => void process.umask(before));
  const { store, clock, path } = await startStored(t);
  for (const expected of ['1', '2', '3']) await store.commit('codex', expected, createRecord('codex'));
  await store.lease('codex', 'me', 1_000);
  const login = { credential: 'codex', sealed: 'sealed', expiresAtMs: clock.wallMs() + 1_000 };
  for (const digit of ['a', 'b']) await store.logins.put(digit.repeat(64), login);
  await store.logins.take('a'.repeat(64));
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  t.ok(entries.length > 10);
  for (const entry of entries) {
    const { mode } = await lstat(join(entry.parentPath, entry.name));
    t.equal(mode & 0o777, entry.isDirectory() ? 0o700 : 0o600, entry.name);
  }
});

t.test('a pending login that is torn answers record_corrupt, and other logins go on', async (t) => {
  const { store, clock, path, warnings } = await startStored(t);
  const login = { credential: 'codex', sealed: 'sealed', expiresAtMs: clock.wallMs() + 60_000 };
  const [torn, linked, good] = ['a'.repeat(64), 'b'.repeat(64), 'c'.repeat(64)];
  await store.logins.put(torn, login);
  await store.logins.put(linked, login);
  await writeFile(join(path, 'logins', torn), '{"id":');
  await rename(join(path, 'logins', linked), join(path, 'aside'));
  await symlink(join(path, 'aside'), join(path, 'logins', linked));
  await t.rejects(store.logins.find(torn), { code: 'record_corrupt' });
  await t.rejects(store.logins.take(torn), { code: 'record_corrupt' });
  await t.rejects(store.logins.take(linked), { code: 'store_permissions_open' });
  await store.logins.put(good, login);
  t.match(await store.logins.take(good), { status: 'pending' });
  t.same([...new Set(warnings.map(({ code }) => code))].sort(), ['record_corrupt', 'store_permissions_open']);
});

t.test("one login's file under another's name answers record_corrupt", async (t) => {
  const { store, clock, path } = await startStored(t);
  const login = { credential: 'codex', sealed: 'sealed', expiresAtMs: clock.wallMs() + 60_000 };
  await store.logins.put('a'.repeat(64), login);
  await link(join(path, 'logins', 'a'.repeat(64)), join(path, 'logins', 'b'.repeat(64)));
  await t.rejects(store.logins.take('b'.repeat(64)), { code: 'record_corrupt' });
});

t.test('a tombstone holds hash, outcome and expiry, and the sealed payload is gone from the disk', async (t) => {
  const { store, clock, path } = await startStored(t);
  const [used, expired] = ['a'.repeat(64), 'b'.repeat(64)];
  const now = clock.wallMs();
  await store.logins.put(used, { credential: 'codex', sealed: 'PAYLOAD', expiresAtMs: now + 1_800_000 });
  await store.logins.put(expired, { credential: 'codex', sealed: 'PAYLOAD', expiresAtMs: now + 1_000 });
  await store.logins.take(used);
  await clock.advance(62_000);
  await store.logins.put('c'.repeat(64), { credential: 'codex', sealed: 'other', expiresAtMs: now + 1_800_000 });
  const folder = join(path, 'logins');
  t.same((await readdir(folder)).sort(), [`${used}.ended`, `${expired}.ended`, 'c'.repeat(64)]);
  t.same(JSON.parse(await readFile(join(folder, `${used}.ended`), 'utf8')), {
    id: used,
    outcome: 'used',
    expiresAtMs: now + 1_800_000,
  });
  t.same(JSON.parse(await readFile(join(folder, `${expired}.ended`), 'utf8')), {
    id: expired,
    outcome: 'expired',
    expiresAtMs: now + 1_801_000,
  });
  await clock.advance(3_600_000);
  await store.logins.put('d'.repeat(64), { credential: 'codex', sealed: 'other', expiresAtMs: clock.wallMs() + 1_000 });
  t.same(await readdir(folder), ['d'.repeat(64)], 'all else was forgotten');
});
