// `sidebearer rekey --offline` on a store of files. test/system/rekey.test.ts asks the running program.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createRecords } from '../../src/credentials/records.ts';
import { createFileStore } from '../../src/stores/file.ts';
import { createSealing } from '../../src/stores/sealing.ts';
import { minimal } from '../config/_source.ts';
import { bound } from '../credentials/_provider.ts';
import { silent } from '../credentials/_rig.ts';
import { sidebearer } from './_command.ts';

const tokens = { accessToken: 'access', refreshToken: 'refresh', obtainedAtMs: 1_000 };

t.test('rekey tells of each credential, configured or left behind, and which keys may go', async (t) => {
  const [older, newer] = [randomBytes(32), randomBytes(32)];
  const folder = t.testdir({});
  const store = await createFileStore({ path: join(folder, 'store'), clock: systemClock, onWarning: () => {} });
  const write = async (credential: string, key: Buffer): Promise<void> => {
    const sealing = createSealing([key]);
    const records = createRecords({ credential, bound, store, sealing, observer: silent });
    await records.commit(records.prepare(await records.read(), { tokens }));
  };
  await write('left-behind', older);
  const run = async (keys: readonly Buffer[], ...flags: string[]) => {
    const list = keys.map((key) => key.toString('base64')).join(', ');
    const lines = [`kind: file`, `path: ${join(folder, 'store')}`, `keys: [ ${list} ]`];
    return await sidebearer(['rekey', '--config', '-', ...flags], {
      input: minimal.replace('kind: memory', lines.join('\n  ')),
    });
  };

  const done = await run([newer, older], '--offline');
  t.match(done, { code: 0, err: '' });
  t.match(done.out, /^codex: has no tokens\nleft-behind: sealed under the first key\n/);
  t.match((await run([newer, older], '--offline')).out, /left-behind: was sealed under the first key already/);
  await write('foreign', randomBytes(32));
  const failed = await run([newer], '--offline');
  t.equal(failed.code, 1);
  t.match(failed.err, /foreign: .*record_unopenable[\s\S]*1 could not be sealed anew: keep all of store\.keys/);
  t.match(failed.out, /left-behind: was sealed/, 'the older key was not needed any more');
  t.notMatch(failed.out + failed.err, newer.toString('base64'));
});
