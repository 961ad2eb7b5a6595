import t from 'tap';
import { parseYaml } from '../../src/config/yaml-document.ts';
import { load, minimal } from './_source.ts';

t.test('anchors, aliases and merge keys are resolved; keys that stand there win over merged ones', async (t) => {
  const { data, mistakes } = parseYaml('a: &a { x: 1, y: 2 }\nb: { <<: *a, y: 3 }\nc: *a\nd: { <<: [*a, { z: 4 }] }\n');
  t.strictSame(mistakes, []);
  t.same(JSON.parse(JSON.stringify(data)), {
    a: { x: 1, y: 2 },
    b: { y: 3, x: 1 },
    c: { x: 1, y: 2 },
    d: { x: 1, y: 2, z: 4 },
  });
});

t.test('an anchor set twice stands for what came last before its alias', async (t) => {
  const { data } = parseYaml('a: &n 1\nb: *n\nc: &n 2\nd: *n\n');
  t.same(JSON.parse(JSON.stringify(data)), { a: 1, b: 1, c: 2, d: 2 });
});

t.test('a mistake in an anchored mapping is told where the mapping stands', async (t) => {
  const text = `${minimal.replace('credential: codex', 'credential: codex\n    timeouts: &t { connect: 1 }')}`;
  const doubled = text.replace(
    'credentials:',
    '  - { path: /b, upstream: "https://h", credential: codex, timeouts: *t }\ncredentials:',
  );
  const loaded = load(doubled);
  t.match(loaded.ok ? [] : loaded.mistakes, [
    { line: 4, column: 29, path: 'routes[0].timeouts.connect' },
    { line: 4, column: 29, path: 'routes[1].timeouts.connect' },
  ]);
});

t.test('a byte order mark moves no column', async (t) => {
  const { data, locate } = parseYaml('\u{feff}ab: 1\n');
  t.same(JSON.parse(JSON.stringify(data)), { ab: 1 });
  t.same(locate(['ab']), { line: 1, column: 5 });
});

// Small texts that stand for something huge or endless: a stack that overflows inside a regular expression ends the
// whole process, and no exception is thrown.
t.test('text that is nested too deeply, refers to itself or grows without end is a mistake', async (t) => {
  const billion = 'abcdefg'
    .split('')
    .map((name, index, all) => `${name}: &${name} [${`${index === 0 ? 'x' : `*${all[index - 1]}`},`.repeat(9)}]`)
    .join('\n');
  const texts = {
    brackets: '['.repeat(100_000),
    braces: '{a: '.repeat(50_000),
    dashes: '- '.repeat(5_000),
    'a list in itself': 'a: &a [ *a ]',
    'a mapping merged into itself': 'a: &a { <<: *a }',
    'a billion of nodes': billion,
  };
  for (const [name, text] of Object.entries(texts)) {
    const { data, mistakes } = parseYaml(text);
    t.equal(data, undefined, name);
    t.ok(mistakes.length > 0, name);
  }
});

t.test('a reference that flow style tears apart is told with the cure', async (t) => {
  for (const text of ['a: { b: ${env:X} }', 'a: [ ${file:/x} ]']) {
    t.match(parseYaml(text).mistakes[0]?.message, /quote references/, text);
  }
});

t.test('10,000 credentials are valid', async (t) => {
  const many = Array.from({ length: 10_000 }, (_, index) => `  c${index}: { provider: codex }`).join('\n');
  const loaded = load(minimal.replace('store:', `${many}\nstore:`));
  t.equal(loaded.ok, true);
});
