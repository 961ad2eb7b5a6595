// What a command loads before it does anything: a probe that runs every few seconds must not pay for zod, and
// `check` must not pay for the proxy. Dynamic imports do not count: they are what keeps this so.
import { readFileSync } from 'node:fs';
import t from 'tap';

/** Packages that a file and what it imports statically load. */
function packagesOf(entry: string): string[] {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const waiting = [new URL(`../../src/${entry}`, import.meta.url)];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file.href)) continue;
    seen.add(file.href);
    for (const [, clause = '', from = ''] of readFileSync(file, 'utf8').matchAll(
      /^import ([^;]*?)\s*from '([^']+)';/gm,
    )) {
      if (clause.startsWith('type ')) continue;
      if (from.startsWith('.')) waiting.push(new URL(from, file));
      else if (!from.startsWith('node:')) packages.add(from);
    }
  }
  return [...packages].sort();
}

t.test('main, status and wait load one tiny package; check and schema what reads configurations', async (t) => {
  t.strictSame(packagesOf('main.ts'), ['fastest-levenshtein']);
  t.strictSame(packagesOf('cli/wait.ts'), []);
  t.strictSame(packagesOf('cli/status.ts'), []);
  t.strictSame(packagesOf('cli/version.ts'), []);
  t.strictSame(packagesOf('cli/check.ts'), ['fastest-levenshtein', 'yaml', 'zod']);
  t.strictSame(packagesOf('cli/schema.ts'), ['zod']);
  t.strictSame(packagesOf('cli/run.ts'), ['fastest-levenshtein', 'yaml', 'zod']);
});
