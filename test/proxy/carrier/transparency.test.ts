// docs/transparency.md tells users where a carrier differs from HTTP. What it says is what the suite asserts: the same
// names, tests that look for them, and codes of the catalogue.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { catalogue } from '../../../src/errors/catalogue.ts';
import { carriers } from './_carriers.ts';

const folder = import.meta.dirname;
const document = readFileSync(join(folder, '../../../docs/transparency.md'), 'utf8');
const [, section = ''] = /^## What the standard carrier cannot carry$([\s\S]*?)^## /m.exec(document) ?? [];
const rows = section
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, name = '', , , code = '', files = '']) => ({ name: name.replaceAll('`', ''), code, files }));

t.test('each difference of a carrier has its row in docs/transparency.md, and none has another', async (t) => {
  const differences = new Set(carriers.flatMap((carrier) => [...carrier.differences]));
  t.same(
    rows.map(({ name }) => name),
    [...differences].sort(),
  );
});

t.test('each row names tests that assert it, and a code of the catalogue where a request is refused', async (t) => {
  const codes = new Map(Object.entries(catalogue).map(([code, { status }]) => [code, status]));
  for (const { name, code, files } of rows) {
    t.match(files, /^`[a-z0-9-]+\.test\.ts`(, `[a-z0-9-]+\.test\.ts`)*$/, name);
    for (const file of files.replaceAll('`', '').split(', ')) {
      t.ok(readFileSync(join(folder, file), 'utf8').includes(`differences.has('${name}')`), `${name} in ${file}`);
    }
    if (code === '') continue;
    const [, named = '', status] = /^`(.+)` (\d{3})$/.exec(code) ?? [];
    t.equal(codes.get(named), Number(status), name);
  }
});
