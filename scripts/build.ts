// Bundles src/main.ts with everything it needs into one file, dist/sidebearer.js, and stamps version and commit.
// Nothing is minified: a stack trace from production should be readable.
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, renameSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { build, type Plugin } from 'esbuild';

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

/**
 * Node's own modules by require() and not by import: for an import Node reads every export at once, and reading
 * `WebSocket` of node:http loads the undici inside Node: 46 of 390 ms in a profile, 1.5 MB. The bundle's figures are in
 * docs/decisions/008-node-and-start.md.
 */
const requireBuiltins: Plugin = {
  name: 'require-builtins',
  setup(build) {
    build.onResolve({ filter: /^[a-z]/, namespace: 'file' }, ({ path, kind }) =>
      kind === 'import-statement' && isBuiltin(path) ? { path, namespace: 'builtin' } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)})`,
    }));
  },
};

const outfile = 'dist/sidebearer.js';
// Moved into its place at the end: what runs from there meanwhile never finds it missing or half written.
const unfinished = `${outfile}.${process.pid}`;
await build({
  entryPoints: ['src/main.ts'],
  outfile: unfinished,
  bundle: true,
  platform: 'node',
  format: 'esm',
  plugins: [requireBuiltins],
  alias: { undici: './scripts/undici-parts.mjs' },
  target: `node${engines.node.replace(/[^\d.]/g, '')}`,
  legalComments: 'inline',
  define: {
    SIDEBEARER_VERSION: JSON.stringify(version),
    SIDEBEARER_COMMIT: JSON.stringify(commit()),
  },
  // CommonJS dependencies require() Node's own modules, which an ES module cannot.
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
chmodSync(unfinished, 0o755);
renameSync(unfinished, outfile);
console.log(`${outfile}: ${version} (${commit()})`);
