// A process of its own on a store's folder, for tests that race or kill it. It says `ready` once it stands, does what
// its arguments say, and tells each version that was committed before it goes on.
//   increment <path> <times>       counts the generation up by compare-and-swap
//   commit <path> <kill-at>        three commits, dead by SIGKILL at the disk's nth step of the third (0: never)
//   endless <path>                 commits until it is killed
//   logins <path> <id,id,…>        takes each login and tells how many it got
import { systemClock } from '../../src/clock.ts';
import { createFileStore } from '../../src/stores/file.ts';
import { increment } from './_increment.ts';
import { interceptDisk } from './_intercept.ts';
import { createRecord } from './_record.ts';

const [task = '', path = '', argument = ''] = process.argv.slice(2);
const store = await createFileStore({ path, clock: systemClock, onWarning: () => {} });
const tell = (message: string): void => void process.send?.(message);

async function commitNext(): Promise<void> {
  const { version, record } = await store.read('codex');
  const next = createRecord('codex', { generation: (record?.generation ?? 0) + 1 });
  const result = await store.commit('codex', version, next);
  if (result.committed) tell(`committed ${result.version}`);
}

async function commitKilledAt(step: number): Promise<void> {
  await commitNext();
  await commitNext();
  const steps: string[] = [];
  const restore = await interceptDisk((name) => {
    steps.push(name);
    if (steps.length === step) process.kill(process.pid, 'SIGKILL');
  });
  await commitNext();
  restore();
  tell(`steps ${steps.join()}`);
}

const begun = new Promise<void>((resolve) => process.once('message', () => resolve()));
tell('ready');
await begun;

if (task === 'increment') await increment(store, 'codex', Number(argument));
if (task === 'commit') await commitKilledAt(Number(argument));
if (task === 'endless') for (;;) await commitNext();
if (task === 'logins') {
  let taken = 0;
  for (const id of argument.split(',')) if ((await store.logins.take(id)).status === 'pending') taken += 1;
  tell(`taken ${taken}`);
}
await store.close();
process.disconnect();
