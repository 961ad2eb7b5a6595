// What the reloader tells of a configuration that cannot be put in force, how often, and that it hears of its end.
import { unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readFile } from '../../src/cli/configuration.ts';
import { ConfigRefusal } from '../../src/config/refusal.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { start, text } from './_reloader.ts';

t.test('a file that is half written or away for a moment is nobody’s mistake', async (t) => {
  const { put, until, told, file } = await start(t);
  unlinkSync(file);
  await new Promise((resolve) => setTimeout(resolve, 200));
  writeFileSync(file, 'routes: [');
  await new Promise((resolve) => setTimeout(resolve, 200));
  put(text('https://two.example'));
  await until(1);
  t.strictSame(told, ['applied routes[0].upstream']);
});

t.test('a mistake is told once, and its end; a person who asks hears it again', async (t) => {
  const { put, until, told, applied, reloader } = await start(t);
  put(text('https://two.example', 'lgo: {}'));
  await until(1);
  put(text('https://two.example', 'lgo: {}'));
  await new Promise((resolve) => setTimeout(resolve, 300));
  reloader.request();
  await until(2);
  put(text());
  await until(3);
  t.strictSame(told, ['refused config_key_unknown', 'refused config_key_unknown', 'unchanged']);
  t.equal(applied.length, 0);
});

t.test('what cannot be put in force is refused as a whole, with all that is wrong', async (t) => {
  const { put, until, told, onApply } = await start(t);
  const wrong = (setting: string) => new SidebearerError('tls_file_unusable', { setting });
  onApply(() => Promise.reject(new ConfigRefusal([wrong('routes[0].tls.ca'), wrong('listen.tls.key')])));
  put(text('https://two.example'));
  await until(1);
  put(text('https://two.example', 'log: { format: pretty }\nlimits: { headerBytes: 1KiB }'));
  await until(2);
  t.strictSame(told, [
    'refused tls_file_unusable,tls_file_unusable',
    'refused restart_required,restart_required,tls_file_unusable,tls_file_unusable',
  ]);
  onApply(async () => undefined);
  put(text('https://two.example'));
  await until(3);
  t.equal(told.at(-1), 'applied routes[0].upstream', 'mended');
});

t.test('files that it names are followed, those that a refused one names as well', async (t) => {
  const level = (name: string): string => text(undefined, `log: { level: "\${file:FOLDER/${name}}" }`);
  const { put, until, told, applied } = await start(t, level('level'), { level: 'info' });
  put('debug', 'level');
  await until(1);
  put(level('other'));
  await until(2);
  put('warn', 'other');
  await until(3);
  t.strictSame(told, ['applied log.level', 'refused config_reference_missing', 'applied log.level']);
  t.strictSame(
    applied.map(({ log }) => log.level),
    ['debug', 'warn'],
  );
});

t.test('a mistake that is mended while it is looked at a second time is not taken for the mistake', async (t) => {
  const { put, until, told, onApply } = await start(t);
  let attempts = 0;
  onApply(async ({ routes }) => {
    if (routes[0]?.upstream !== 'https://two.example') return;
    attempts += 1;
    if (attempts === 2) put(text('https://three.example'));
    throw new ConfigRefusal([new SidebearerError('tls_file_unusable', { setting: 'routes[0].tls.ca' })]);
  });
  put(text('https://two.example'));
  await until(2);
  t.strictSame(told, ['refused tls_file_unusable', 'applied routes[0].upstream']);
});

t.test('a mistake is told in a folder that never rests', async (t) => {
  const { put, until, told, folder } = await start(t);
  const neighbour = setInterval(() => writeFileSync(join(folder, 'neighbour'), String(Math.random())), 20);
  t.teardown(() => clearInterval(neighbour));
  put(text('https://two.example', 'lgo: {}'));
  await until(1);
  put(text('https://two.example'));
  await until(2);
  t.strictSame(told, ['refused config_key_unknown', 'applied routes[0].upstream']);
});

t.test('the end of a mistake is told, too, where the refused one named other files', async (t) => {
  const { put, until, told } = await start(t);
  put(text(undefined, `log: { level: "\${file:FOLDER/nowhere}" }`));
  await until(1);
  put(text());
  await until(2);
  t.strictSame(told, ['refused config_reference_missing', 'unchanged']);
});

t.test('what was refused is not looked into again until it changes, not even after somebody asked', async (t) => {
  let reads = 0;
  const read = (path: string): string => {
    reads += 1;
    return readFile(path);
  };
  const { put, until, told, folder, reloader } = await start(t, text(), {}, { read });
  const wrong = text('https://two.example', 'lgo: {}');
  put(wrong);
  await until(1);
  reloader.request();
  await until(2);
  const before = reads;
  put(wrong);
  writeFileSync(join(folder, 'neighbour'), 'x');
  await new Promise((resolve) => setTimeout(resolve, 300));
  put(text('https://two.example'));
  await until(3);
  t.equal(reads, before + 1);
  t.strictSame(told, ['refused config_key_unknown', 'refused config_key_unknown', 'applied routes[0].upstream']);
});

t.test('a mistake that comes back is told again', async (t) => {
  const { put, until, told } = await start(t);
  const wrong = text('https://two.example', 'lgo: {}');
  put(wrong);
  await until(1);
  put(text());
  await until(2);
  put(wrong);
  await until(3);
  put(text('https://two.example'));
  await until(4);
  put(wrong);
  await until(5);
  const refused = 'refused config_key_unknown';
  t.strictSame(told, [refused, 'unchanged', refused, 'applied routes[0].upstream', refused]);
});
