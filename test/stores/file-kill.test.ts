// A process that is killed between any two steps of a commit leaves a whole record: the old one or the new one, and
// never an older one than it had reported as committed.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createFileSetting, type FileSetting } from './_file-setting.ts';
import { forkWriter, type Writer } from './_fork.ts';
import { createRecord } from './_record.ts';

const altering = ['file.writeFile', 'file.sync', 'link', 'unlink'];

/** The highest version that a writer told. */
function lastTold({ told }: Writer): number {
  return Math.max(0, ...told.filter((line) => line.startsWith('committed')).map((line) => Number(line.split(' ')[1])));
}

/** Reads what was left and commits upon it; the version that was found. */
async function readAndGoOn(t: Test, { open }: FileSetting): Promise<number> {
  const store = await open();
  const { version, record } = await store.read('codex');
  t.equal(record?.generation, Number(version), 'the record is the one of its version');
  const next = createRecord('codex', { generation: Number(version) + 1 });
  t.same(await store.commit('codex', version, next), { committed: true, version: String(Number(version) + 1) });
  return Number(version);
}

/** The version that was found after a commit upon version 2 was killed at one step. */
async function killAt(t: Test, step: number): Promise<number> {
  const setting = await createFileSetting(t);
  const writer = await forkWriter(t, 'commit', setting.path, String(step));
  writer.begin();
  t.equal(await writer.ended, null, `killed at step ${step}`);
  const version = await readAndGoOn(t, setting);
  t.ok(version >= lastTold(writer), 'what was reported is there');
  return version;
}

t.test('killed at each step of a commit in turn', async (t) => {
  const whole = await createFileSetting(t);
  const measured = await forkWriter(t, 'commit', whole.path, '0');
  measured.begin();
  t.equal(await measured.ended, 0);
  const names =
    measured.told
      .find((line) => line.startsWith('steps'))
      ?.split(' ')[1]
      ?.split(',') ?? [];
  // Before each step that alters the disk; between the others a kill finds the same.
  const steps = names.flatMap((name, index) => (altering.includes(name) ? [index + 1] : []));
  t.ok(steps.length >= 9, names.join());
  const found: number[] = [];
  for (let index = 0; index < steps.length; index += 2) {
    // Two at a time, each on a folder of its own: it is the start of a process that takes the time.
    found.push(...(await Promise.all(steps.slice(index, index + 2).map((step) => killAt(t, step)))));
  }
  const turn = found.indexOf(3);
  t.ok(turn > 0, 'some step makes the new record the current one');
  t.ok(
    found.every((version, index) => version === (index < turn ? 2 : 3)),
    `one step alone does: ${found.join()}`,
  );
});

t.test(
  'killed again and again while others commit, the record stays whole and no reported commit is lost',
  async (t) => {
    const setting = await createFileSetting(t);
    let reported = 0;
    for (let round = 0; round < 4; round += 1) {
      const writers = await Promise.all([1, 2].map(() => forkWriter(t, 'endless', setting.path)));
      for (const writer of writers) writer.begin();
      await new Promise((resolve) => setTimeout(resolve, 40 + round * 13));
      for (const writer of writers) writer.child.kill('SIGKILL');
      await Promise.all(writers.map(({ ended }) => ended));
      reported = Math.max(reported, ...writers.map(lastTold));
      const store = await setting.open();
      const { version, record } = await store.read('codex');
      t.ok(Number(version) >= reported, `${version} is at least ${reported}`);
      t.equal(record?.generation ?? 0, Number(version), 'no update was lost or counted twice');
    }
    t.ok(reported > 0);
    const left = (await readdir(join(setting.path, 'records', 'codex'))).filter((name) => /^\d+$/.test(name));
    t.ok(left.length <= 6, `few versions are left behind: ${left.join()}`);
  },
);
