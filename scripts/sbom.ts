// `npm run sbom`: dist/sbom.cdx.json, the packages that dist/sidebearer.js is made from, as CycloneDX by `npm sbom`. Its
// --omit=dev is not used: npm 11 leaves out what a development package needs as well, jose and yaml among them. What
// registry a package was fetched from is left out: it says something about this machine, nothing about the program.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

interface Component {
  readonly 'bom-ref': string;
  readonly group?: string;
  readonly name: string;
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
  readonly externalReferences?: readonly { readonly type: string }[];
}

interface Bom {
  readonly specVersion: string;
  readonly metadata: { readonly component: object };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

const { name, version } = JSON.parse(readFileSync('package.json', 'utf8')) as { name: string; version: string };
const args = ['sbom', '--sbom-format=cyclonedx', '--package-lock-only'];
const bom = JSON.parse(execFileSync('npm', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })) as Bom;

const isDevelopment = ({ properties }: Component): boolean =>
  properties?.some((property) => property.name === 'cdx:npm:package:development' && property.value === 'true') ?? false;
// esbuild also takes what a package requires where it happens to be installed, as debug does with supports-color.
const bundled = new Set(
  [...readFileSync('dist/sidebearer.js', 'utf8').matchAll(/^ *\/\/ node_modules\/((?:@[^/\n]+\/)?[^/\n]+)\//gm)].map(
    ([, packageName]) => packageName,
  ),
);
const isBundled = ({ group, name }: Component): boolean => bundled.has(group === undefined ? name : `${group}/${name}`);
const components = bom.components
  .filter((component) => !isDevelopment(component) || isBundled(component))
  .map(({ externalReferences = [], ...component }) => ({
    ...component,
    externalReferences: externalReferences.filter(({ type }) => type !== 'distribution'),
  }));
const refs = new Set(components.map((component) => component['bom-ref']));
const root = `${name}@${version}`;
const dependencies = bom.dependencies
  .filter(({ ref }) => refs.has(ref) || ref === root)
  .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((each) => refs.has(each)) }));
// npm calls the project by its folder.
const metadata = { ...bom.metadata, component: { ...bom.metadata.component, name } };

writeFileSync('dist/sbom.cdx.json', `${JSON.stringify({ ...bom, metadata, components, dependencies }, null, 2)}\n`);
console.log(`dist/sbom.cdx.json: CycloneDX ${bom.specVersion}, ${components.length} components`);
