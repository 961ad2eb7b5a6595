// Bundles src/main.ts with everything it needs into one file, dist/sidebearer.js, and stamps version and commit.
// Nothing is minified: a stack trace from production should be readable. CommonJS, because an import of Node's own
// modules reads all their exports at once, and `WebSocket` of node:http loads the undici inside Node; figures are in
// docs/decisions/008-node-and-start.md.
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const { version, engines } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  version: string;
  engines: { node: string };
};

function commit(): string {
  if (process.env.SIDEBEARER_COMMIT !== undefined) return process.env.SIDEBEARER_COMMIT;
  try {
    return execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

const outfile = 'dist/sidebearer.js';
// Moved into its place at the end: what runs from there meanwhile never finds it missing or half written.
const unfinished = `${outfile}.${process.pid}`;
await build({
  entryPoints: ['src/main.ts'],
  outfile: unfinished,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  alias: { undici: './scripts/undici-parts.mjs' },
  target: `node${engines.node.replace(/[^\d.]/g, '')}`,
  legalComments: 'inline',
  define: {
    SIDEBEARER_VERSION: JSON.stringify(version),
    SIDEBEARER_COMMIT: JSON.stringify(commit()),
    // Read in a working tree alone.
    'import.meta.url': '""',
  },
  banner: { js: '#!/usr/bin/env node' },
  logLevel: 'warning',
});
// One character beyond ASCII makes V8 hold and scan all of it as UTF-16. What esbuild leaves stands in comments and in
// templates, where an escape is the same.
const text = readFileSync(unfinished, 'utf8').replace(
  /[^\0-\x7f]/g,
  (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
);
writeFileSync(unfinished, text);
chmodSync(unfinished, 0o755);
// The package around it says that files are ES modules.
writeFileSync('dist/package.json', '{ "type": "commonjs" }\n');
renameSync(unfinished, outfile);
console.log(`${outfile}: ${version} (${commit()})`);
