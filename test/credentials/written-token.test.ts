// A token that something else writes to a file: read, followed, never refreshed.

import t from 'tap';
import { createMemory } from '../../src/credentials/memory.ts';
import { createWrittenToken } from '../../src/credentials/written-token.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createWorld, hour, type Process, patient, tokenOf, type World, watch } from './_rig.ts';

interface TestFile {
  text: string | undefined;
  expiresAtMs: number | undefined;
  fails: ErrorCode | undefined;
  reads: number;
  change(): void;
}

async function createTested(
  t: { teardown(end: () => Promise<void>): unknown },
  text: string | undefined,
): Promise<{ world: World; p: Process; file: TestFile }> {
  const world = createWorld();
  t.teardown(() => world.end());
  const watchers = new Set<() => void>();
  const file: TestFile = {
    text,
    expiresAtMs: undefined,
    fails: undefined,
    reads: 0,
    change: () => {
      for (const changed of watchers) changed();
    },
  };
  const source = createWrittenToken(
    'codex',
    {
      async read() {
        file.reads += 1;
        if (file.fails !== undefined) throw new SidebearerError(file.fails);
        if (file.text === undefined) throw new SidebearerError('token_file_unreadable', { systemCode: 'ENOENT' });
        return {
          accessToken: file.text,
          ...(file.expiresAtMs !== undefined && { expiresAtMs: file.expiresAtMs }),
          obtainedAtMs: world.clock.wallMs(),
          warnings: [],
        };
      },
      watch(changed) {
        watchers.add(changed);
        return { close: () => void watchers.delete(changed) };
      },
    },
    createMemory(),
  );
  const p = await world.started({ source: () => source, lead: { leadMs: 0, jitter: 0 } });
  return { world, p, file };
}

t.test('what the file holds is served, and what it holds next as soon as it changes', async (t) => {
  const { world, p, file } = await createTested(t, 'first');
  t.equal(tokenOf(p.refresher.authorization()), 'first');
  t.equal(p.refresher.status().state, 'fresh');
  file.text = 'second';
  file.change();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'second');
  t.equal(p.refresher.status().generation, 2);
  file.change();
  await world.clock.advance(0);
  t.equal(p.refresher.status().generation, 2, 'the same token is the same generation');
});

t.test('absent is it only while the file is missing: token_file_unreadable, without Retry-After', async (t) => {
  const { world, p, file } = await createTested(t, undefined);
  t.equal(p.refresher.status().state, 'absent');
  const asked = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(asked.code, 'token_file_unreadable');
  t.equal(asked.retryAfterMs, undefined);
  file.text = 'here';
  file.change();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'here');
});

t.test('a malformed file is not served, and does not take the token in hand away', async (t) => {
  const { world, p, file } = await createTested(t, 'first');
  file.fails = 'access_token_malformed';
  file.change();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'first');
  t.ok(p.failures.includes('access_token_malformed'));
});

t.test('a file that is empty for a moment does not take the token in hand away', async (t) => {
  const { world, p, file } = await createTested(t, 'first');
  file.fails = 'token_file_unreadable';
  file.change();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'first');
  file.fails = undefined;
  file.text = 'second';
  file.change();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'second');
});

t.test('at its expiry it is read again; still the old one: 503 with Retry-After until the file changes', async (t) => {
  const { world, p, file } = await createTested(t, 'first');
  file.expiresAtMs = world.clock.wallMs() + hour;
  file.text = 'second';
  file.change();
  await world.clock.advance(hour + 1_000);
  t.ok(p.ends.every((code) => code === 'access_token_expired'));
  const asked = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(asked.code, 'access_token_expired');
  t.ok((asked.retryAfterMs ?? 0) > 0);
  file.text = 'third';
  file.expiresAtMs = world.clock.wallMs() + hour;
  file.change();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'third');
});

t.test('a missed change is found when the token is due', async (t) => {
  const { world, p, file } = await createTested(t, 'first');
  file.expiresAtMs = world.clock.wallMs() + hour;
  file.text = 'second';
  file.change();
  await world.clock.advance(1_000);
  file.text = 'third';
  file.expiresAtMs = world.clock.wallMs() + 2 * hour;
  await world.clock.advance(hour);
  t.equal(tokenOf(p.refresher.authorization()), 'third');
});

t.test(
  'a 401 reads the file again: another token is used, the same one passes the 401 as access_token_refused',
  async (t) => {
    const { world, p, file } = await createTested(t, 'first');
    const first = await p.refresher.wait(patient);
    file.text = 'second';
    const newer = watch(p.refresher.renewed(first, patient));
    await world.clock.advance(0);
    t.equal(tokenOf(newer.value), 'second');
    await world.clock.advance(120_000);
    const second = await p.refresher.wait(patient);
    const same = watch(p.refresher.renewed(second, patient));
    await world.clock.advance(0);
    t.strictSame(same.now, { state: 'resolved', value: undefined });
    t.equal(p.ends.at(-1), 'access_token_refused');
    t.equal(tokenOf(p.refresher.authorization()), 'second', 'other paths may take it');
  },
);

t.test('a login is not for it', async (t) => {
  const { world, p } = await createTested(t, 'first');
  await t.rejects(p.refresher.accept(world.provider.login(), { replaceAccount: true }), { code: 'login_unsupported' });
});
