// The bundle, as `npm run build` left it: what makes it quick to load is easily lost by one character or one import.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

const dist = join(import.meta.dirname, '..', '..', 'dist');
const bundle = join(dist, 'sidebearer.js');

t.test('the bundle is ASCII: one other character would double what it takes in memory', (t) => {
  t.notOk(readFileSync(bundle).some((byte) => byte > 0x7f));
  t.end();
});

t.test('the bundle is CommonJS, for the package and alone', (t) => {
  t.strictSame(JSON.parse(readFileSync(join(dist, 'package.json'), 'utf8')), { type: 'commonjs' });
  // Beyond any package, as in the image.
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-bundle-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const copy = join(folder, 'sidebearer.js');
  copyFileSync(bundle, copy);
  t.match(execFileSync(process.execPath, [copy, 'version'], { encoding: 'utf8' }), /^sidebearer \d/);
  t.end();
});

t.test('what escapes in the bundle is the character on a page', (t) => {
  const help = execFileSync(process.execPath, [bundle, 'schema'], { encoding: 'utf8' });
  t.match(help, '’');
  t.notMatch(help, '\\u2019');
  t.end();
});
