// The webhook's certificate: read, watched in files that are replaced one by one or as kubelet does, and told once.
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { toSidebearerError } from '../../src/errors/sidebearer-error.ts';
import {
  type Certificate,
  type CertificateFiles,
  readCertificate,
  watchCertificate,
} from '../../src/inject/certificate.ts';
import { createFakeClock, type FakeClock } from '../_fake-clock.ts';
import { createAuthority } from '../providers/_certificate.ts';

const authority = createAuthority();
const issue = (name: string) => authority.issue({ names: [`${name}.test`] });
const [one, two, three] = [issue('one'), issue('two'), issue('three')] as const;

const minute = 60_000;

interface Desk {
  readonly clock: FakeClock;
  readonly taken: Certificate[];
  readonly refusals: string[];
  /** Replaces one of the files, or takes it away. */
  put(name: 'cert' | 'key', text: string | undefined): void;
  /** Real events come in real time; then the clock of the test goes on by `ms`. */
  until(what: () => boolean, ms?: number): Promise<void>;
  close(): void;
}

function createFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-certificate-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** @param isLinked the files stand in another folder than the links to them: no event tells of a change */
async function watched(t: Test, isLinked = false): Promise<Desk> {
  const folder = createFolder(t);
  const files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  const put: Desk['put'] = (name, text) =>
    text === undefined ? rmSync(files[name]) : writeFileSync(files[name], text);
  put('cert', one.cert);
  put('key', one.key);
  const shown = isLinked ? linksTo(files, createFolder(t)) : files;
  const clock = createFakeClock();
  const taken: Certificate[] = [];
  const refusals: string[] = [];
  const watch = watchCertificate(shown, await readCertificate(shown), clock, {
    replaced: (certificate) => void taken.push(certificate),
    refused: (thrown) => void refusals.push(`${toSidebearerError(thrown).details.setting}`),
  });
  t.teardown(() => watch.close());
  return {
    clock,
    taken,
    refusals,
    put,
    close: () => watch.close(),
    async until(what, ms = 100) {
      for (let round = 0; round < 500 && !what(); round += 1) {
        await delay(10);
        await clock.advance(ms);
      }
      t.ok(what(), 'it came about');
    },
  };
}

function linksTo({ cert, key }: CertificateFiles, folder: string): CertificateFiles {
  const links = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  symlinkSync(cert, links.cert);
  symlinkSync(key, links.key);
  return links;
}

t.test('a pair that is replaced is taken, file by file, and the moment between is no mistake', async (t) => {
  const { put, taken, refusals, until, clock } = await watched(t);
  put('cert', two.cert);
  // The first look finds them apart, and comes again.
  await delay(20);
  await clock.advance(200);
  put('key', two.key);
  await until(() => taken.length > 0);
  t.match(taken, [{ cert: two.cert, key: two.key }]);
  t.ok((taken[0]?.expiresAtMs ?? 0) > Date.now());
  t.strictSame(refusals, []);
});

t.test('what cannot be used is told once, however long it stays, and the next that can is taken', async (t) => {
  const { put, taken, refusals, until, clock } = await watched(t);
  put('key', two.key);
  await until(() => refusals.length > 0);
  for (let hour = 0; hour < 12; hour += 1) {
    await clock.advance(5 * minute);
    await delay(5);
  }
  t.strictSame(refusals, ['--tls-key']);
  put('cert', undefined);
  await until(() => refusals.length > 1);
  t.strictSame(refusals, ['--tls-key', '--tls-cert'], 'another change is told, too');
  put('cert', two.cert);
  await until(() => taken.length > 0);
  t.match(taken, [{ cert: two.cert }]);
  put('cert', one.cert);
  await until(() => refusals.length > 2);
});

t.test('a change that raises no event is found by the look at every interval, and told once', async (t) => {
  const { put, taken, refusals, clock, until } = await watched(t, true);
  const interval = async (): Promise<void> => {
    await clock.advance(5 * minute);
    await delay(20);
  };
  for (const { cert, key } of [two, three]) {
    put('cert', cert);
    put('key', key);
    await until(() => taken.at(-1)?.cert === cert, minute);
  }
  await interval();
  t.equal(taken.length, 2, 'the same pair is no change');
  for (const told of [1, 2]) {
    put('key', one.key);
    await until(() => refusals.length === told, minute);
    await interval();
    await interval();
    t.equal(refusals.length, told);
    put('key', three.key);
    await interval();
  }
});

t.test('nothing is read or told after the end', async (t) => {
  const { put, taken, refusals, clock, close } = await watched(t);
  put('key', two.key);
  await delay(20);
  await clock.advance(100);
  close();
  put('cert', two.cert);
  await delay(20);
  await clock.advance(10 * minute);
  await delay(20);
  t.strictSame([taken, refusals], [[], []]);
  t.equal(clock.armed, 0, 'no timer is left');
});

t.test('a pair that is being read when the end comes is not taken', async (t) => {
  const folder = createFolder(t);
  const files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  const links = linksTo(files, createFolder(t));
  writeFileSync(files.cert, one.cert);
  writeFileSync(files.key, one.key);
  const clock = createFakeClock();
  const endingAfterwards: typeof clock.after = (delayMs, fire, options) => {
    const fireAndEnd = (): void => {
      fire();
      watch.close();
    };
    return clock.after(delayMs, fireAndEnd, options);
  };
  const taken: Certificate[] = [];
  const watch = watchCertificate(
    links,
    await readCertificate(links),
    { ...clock, after: endingAfterwards },
    { replaced: (certificate) => void taken.push(certificate), refused: (thrown) => t.fail(String(thrown)) },
  );
  writeFileSync(files.cert, two.cert);
  writeFileSync(files.key, two.key);
  await clock.advance(5 * minute);
  await delay(50);
  t.strictSame(taken, []);
});

t.test(
  'a certificate and a key in two folders are both watched; a new key of the same certificate is taken',
  async (t) => {
    const [folder, other] = [createFolder(t), createFolder(t)];
    const files = { cert: join(folder, 'tls.crt'), key: join(other, 'tls.key') };
    writeFileSync(files.cert, one.cert);
    writeFileSync(files.key, one.key);
    const clock = createFakeClock();
    const taken: Certificate[] = [];
    const watch = watchCertificate(files, await readCertificate(files), clock, {
      replaced: (certificate) => void taken.push(certificate),
      refused: (thrown) => t.fail(String(thrown)),
    });
    t.teardown(() => watch.close());
    // Another text of the same key.
    writeFileSync(files.key, `${one.key}\n`);
    for (let round = 0; round < 500 && taken.length === 0; round += 1) {
      await delay(10);
      await clock.advance(10);
    }
    t.match(taken, [{ cert: one.cert, key: `${one.key}\n` }]);
  },
);

t.test('a pair that cannot be used is refused with its setting', async (t) => {
  const folder = createFolder(t);
  const [cert, key, other] = ['tls.crt', 'tls.key', 'other.key'].map((name) => join(folder, name));
  if (cert === undefined || key === undefined || other === undefined) throw new Error('no path');
  writeFileSync(cert, one.cert);
  writeFileSync(key, one.key);
  writeFileSync(other, two.key);
  t.equal((await readCertificate({ cert, key })).cert, one.cert);
  for (const [files, setting] of [
    [{ cert: join(folder, 'absent'), key }, '--tls-cert'],
    [{ cert: key, key }, '--tls-cert'],
    [{ cert, key: join(folder, 'absent') }, '--tls-key'],
    [{ cert, key: cert }, '--tls-key'],
    [{ cert, key: other }, '--tls-key'],
  ] as const) {
    await t.rejects(readCertificate(files), { code: 'tls_file_unusable', details: { setting } });
  }
});
