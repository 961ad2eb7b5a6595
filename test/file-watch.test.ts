import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { foldersOf } from '../src/file-watch.ts';

t.test('the folders of a file are those in which a swap changes what its path means', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const at = (...steps: string[]): string => join(folder, ...steps);
  mkdirSync(at('mount', '..1'), { recursive: true });
  writeFileSync(at('mount', '..1', 'config.yaml'), '');
  symlinkSync('..1', at('mount', '..data'));
  symlinkSync('..data/config.yaml', at('mount', 'config.yaml'));
  symlinkSync(at('mount'), at('current'));
  mkdirSync(at('etc'));
  symlinkSync('../current/config.yaml', at('etc', 'config.yaml'));
  symlinkSync('loop', at('loop'));

  const within = (path: string): string[] =>
    foldersOf(path)
      .filter((each) => each.startsWith(folder))
      .map((each) => each.slice(folder.length));
  t.strictSame(within(at('mount', '..1', 'config.yaml')), ['/mount/..1'], 'a plain file: its own');
  t.strictSame(within(at('mount', 'config.yaml')), ['/mount', '/mount/..1'], "kubelet's mount");
  t.strictSame(within(at('etc', 'config.yaml')), ['/etc', '', '/mount', '/mount/..1'], 'links to links');
  t.strictSame(within(at('nowhere', 'at', 'all')), ['/nowhere/at'], 'what is not there yet');
  t.strictSame(within(at('loop')), [''], 'a loop ends');
  t.end();
});
