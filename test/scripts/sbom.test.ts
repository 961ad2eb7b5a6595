import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../..', import.meta.url));

t.test('the list of parts names every package that the bundle has code of, and no registry', async (t) => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/sbom.ts'], { cwd: root, encoding: 'utf8' });
  t.equal(status, 0, stderr);
  const text = readFileSync(`${root}/dist/sbom.cdx.json`, 'utf8');
  const bom = JSON.parse(text) as {
    bomFormat: string;
    metadata: { component: { name: string } };
    components: { group?: string; name: string; version: string }[];
  };
  t.equal(bom.bomFormat, 'CycloneDX');
  t.equal(bom.metadata.component.name, 'sidebearer');
  const listed = new Set(bom.components.map(({ group, name }) => (group === undefined ? name : `${group}/${name}`)));
  const bundle = readFileSync(`${root}/dist/sidebearer.js`, 'utf8');
  const bundled = new Set(
    [...bundle.matchAll(/^ *\/\/ node_modules\/((?:@[^/\n]+\/)?[^/\n]+)\//gm)].map(([, name = '']) => name),
  );
  t.ok(bundled.size > 20, `${bundled.size} packages in the bundle`);
  t.same(
    [...bundled].filter((name) => !listed.has(name)),
    [],
  );
  t.notOk(listed.has('esbuild'), 'development packages are not in it');
  t.notMatch(text, '.tgz');
});
