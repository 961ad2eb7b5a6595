// A route's credential as one name or a list, with references among them, and settings that only a pool can use.
import t from 'tap';
import { checkConfig } from '../../src/config/load.ts';
import { load, minimal, mistakesOf, sourceOf, type World } from './_source.ts';

const two = minimal.replace('provider: codex\n', 'provider: codex\n  spare:\n    provider: codex\n');
const pool = two.replace('credential: codex\n', 'credential: [codex, spare]\n');

function configOf(text: string, world?: World) {
  const loaded = load(text, world);
  if (!loaded.ok) throw new Error(loaded.mistakes.map(({ message }) => message).join());
  return loaded.config;
}

t.test('one name and a list are both a list afterwards, in their order', (t) => {
  t.match(configOf(minimal).routes[0], { credential: ['codex'], pool: 'order', coolOn429: false });
  const text = pool.replace('spare]\n', 'spare]\n    pool: round-robin\n    coolOn429: true\n');
  t.match(configOf(text).routes[0], { credential: ['codex', 'spare'], pool: 'round-robin', coolOn429: true });
  t.strictSame(load(text).warnings, []);
  t.end();
});

t.test('a member may come by a reference; without references nothing is said of it', (t) => {
  const text = pool.replace('[codex, spare]', '["${env:FIRST}", spare]');
  t.strictSame(configOf(text, { env: { FIRST: 'codex' } }).routes[0]?.credential, ['codex', 'spare']);
  t.strictSame(checkConfig(sourceOf(text), { resolveReferences: false }), { mistakes: [], warnings: [] });
  t.strictSame(
    mistakesOf(text).map(({ code, path }) => `${code} ${path}`),
    ['config_reference_missing routes[0].credential[0]'],
  );
  t.end();
});

t.test('what has no effect with one credential is warned of', (t) => {
  const text = minimal.replace(
    'credential: codex\n',
    'credential: codex\n    pool: round-robin\n    coolOn429: true\n',
  );
  t.strictSame(
    load(text).warnings.map(({ path }) => path),
    ['routes[0].pool', 'routes[0].coolOn429'],
  );
  t.end();
});
