// `npm run sbom`: dist/sbom.cdx.json, what the bundle is made of, as CycloneDX by npm itself. Development packages are
// not in the bundle and not in the list. Addresses of the registry that packages came from are taken out: they say
// where this machine fetched, not what is inside.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';

interface Component {
  readonly 'bom-ref': string;
  readonly externalReferences?: readonly { readonly type: string }[];
}

interface Bom {
  readonly specVersion: string;
  readonly components: readonly Component[];
}

const args = ['sbom', '--omit=dev', '--omit=optional', '--sbom-format=cyclonedx', '--package-lock-only'];
const bom = JSON.parse(execFileSync('npm', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })) as Bom;
const components = bom.components.map((component) => {
  const kept = component.externalReferences?.filter(({ type }) => type !== 'distribution');
  return { ...component, ...(kept !== undefined && { externalReferences: kept }) };
});
mkdirSync('dist', { recursive: true });
writeFileSync('dist/sbom.cdx.json', `${JSON.stringify({ ...bom, components }, null, 2)}\n`);
console.log(`dist/sbom.cdx.json: CycloneDX ${bom.specVersion}, ${components.length} components`);
