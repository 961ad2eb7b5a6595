// Whatever an operator's file holds: an answer, never an exception, and never a Config with a key that is not a setting.
import fc from 'fast-check';
import t from 'tap';
import { stringify } from 'yaml';
import { checkConfig, loadConfig } from '../../src/config/load.ts';
import { listSettings } from '../../src/config/settings.ts';
import { minimal, sourceOf } from './_source.ts';

const known = new Set(listSettings().flatMap(({ path }) => path.split(/[.[\]]+/)));
/** Below these, names are free. */
const free = new Set(['credentials', 'tokenParams', 'authorizeParams', 'headers']);

function hasUnknownKey(value: unknown, isFree = false): boolean {
  if (Array.isArray(value)) return value.some((item) => hasUnknownKey(item));
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([key, item]) => {
    const isSetting = isFree || known.has(key) || key === 'host' || key === 'port';
    return !isSetting || hasUnknownKey(item, free.has(key));
  });
}

function isSound(text: string): boolean {
  const source = sourceOf(text, { env: { A: 'a' } });
  checkConfig(source, { resolveReferences: false });
  const loaded = loadConfig(source);
  return loaded.ok ? !hasUnknownKey(loaded.config) : loaded.mistakes.length > 0;
}

t.test('no text whatever makes it throw', async () => {
  const pieces = fc.constantFrom(
    'a',
    ':',
    ' ',
    '\n',
    '-',
    '  ',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '&a',
    '*a',
    '<<',
    '${env:A}',
    '!',
    '%',
    '|',
    '>',
    '#',
    '?',
    ',',
    '\t',
    '\0',
    '---\n',
    'routes',
    '1',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string({ unit: 'binary' }),
        fc.array(pieces).map((all) => all.join('')),
      ),
      isSound,
    ),
    { numRuns: 1_500 },
  );
});

t.test('no value in the place of a setting makes it throw or gives a Config with an unknown key', async () => {
  const names = fc.constantFrom(...known, 'codex', '__proto__', 'constructor', 'toString', 'bogus');
  const scalars = fc.oneof(
    fc.constantFrom<unknown>(
      'codex',
      'oidc',
      'file',
      'memory',
      'https://h',
      '30s',
      '1MiB',
      '10%',
      '${env:A}',
      '${',
      null,
      true,
      0,
      -1,
      1.5,
      '',
      '127.0.0.1:1',
      'off',
    ),
    fc.string(),
    fc.double(),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      scalars,
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(names, tie('tree'), { maxKeys: 4 }),
    ),
  }));
  const sections = fc.dictionary(
    fc.constantFrom('listen', 'limits', 'log', 'metrics', 'shutdown', 'readiness', 'bogus'),
    tree,
  );
  fc.assert(
    fc.property(sections, fc.dictionary(names, tree, { maxKeys: 3 }), (added, credential) => {
      const text = `${minimal}${stringify(added).replace(/^\{\}\n$/, '')}`;
      const withCredential = text.replace(
        '    provider: codex\n',
        `    provider: codex\n    inject: ${JSON.stringify(credential)}\n`,
      );
      return isSound(stringify(added)) && isSound(text) && isSound(withCredential);
    }),
    { numRuns: 500 },
  );
});
