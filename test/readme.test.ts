// What the documents say is so: their configurations are valid, their commands exist, their links lead somewhere.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import { sidebearer } from './cli/_command.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const documents = [
  ...readdirSync(root).filter((name) => name.endsWith('.md') && !name.endsWith('.tmp.md')),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
].sort();

/** Fenced blocks of one language. */
function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, block = '']) => block);
}

/** Every piece of code: fenced and inline. */
function code(text: string): string[] {
  const fenced = [...text.matchAll(/^```.*\n(.*?)^```/gms)].flatMap(([, block = '']) => block.split('\n'));
  const inline = [...text.replace(/^```.*?^```/gms, '').matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span);
  return [...fenced, ...inline];
}

t.test('every configuration in the documents passes check --no-references', async (t) => {
  const configurations = [
    ['config.example.yaml', read('config.example.yaml')],
    ...documents.flatMap((name) => blocks(read(name), 'ya?ml').map((block) => [name, block])),
  ].filter(([, text]) => /^routes:/m.test(text ?? ''));
  t.ok(
    configurations.some(([name]) => name === 'README.md'),
    'the README has one',
  );
  for (const [name, input = ''] of configurations) {
    const { code, out, err } = await sidebearer(['check', '--no-references', '--config', '-'], { input });
    t.equal(code, 0, `${name}: ${out}`);
    t.equal(err, '', `${name} has no warning`);
  }
});

t.test('every command in the documents is in --help, and its flags are in its own', async (t) => {
  const { out: help } = await sidebearer(['--help']);
  const helps = new Map<string, string>();
  const named = new Set<string>();
  for (const name of documents) {
    for (const line of code(read(name))) {
      const [, command = '', rest = ''] = /(?:^|\s)sidebearer ([a-z]+)\b(.*)/.exec(line) ?? [];
      if (command === '') continue;
      named.add(command);
      t.match(help, new RegExp(`^  ${command} `, 'm'), `${name}: ${line}`);
      if (!helps.has(command)) helps.set(command, (await sidebearer([command, '--help'])).out);
      for (const [, flag = ''] of rest.matchAll(/(?<=\s)--([a-z-]+)/g)) {
        t.match(helps.get(command), new RegExp(`--${flag}\\b`), `${name}: ${line}`);
      }
    }
  }
  for (const command of ['run', 'check', 'status', 'wait', 'schema']) t.ok(named.has(command), `${command} is named`);

  // The README's table names flags beside the command.
  for (const [, command = '', does = ''] of read('README.md').matchAll(/^\| `sidebearer ([a-z]+)[^|]*\|(.*)\|$/gm)) {
    for (const [, flag = ''] of does.matchAll(/`--([a-z-]+)`/g)) {
      t.match(helps.get(command), new RegExp(`--${flag}\\b`), `${command} --${flag}`);
    }
  }
});

t.test('every npm script in the documents exists', async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  let found = 0;
  for (const name of documents) {
    for (const line of code(read(name))) {
      for (const [, script = ''] of line.matchAll(/\bnpm (?:run )?(?!ci\b|install\b|run\b)([a-z][a-z:]*)/g)) {
        found += 1;
        t.ok(scripts[script] !== undefined, `${name}: npm ${script}`);
      }
    }
  }
  t.ok(found > 2);
});

t.test('the exit codes of the README are those of --help', async (t) => {
  const { out: help } = await sidebearer(['--help']);
  const [, line = ''] = /^Exit codes: (.*)$/m.exec(read('README.md')) ?? [];
  const told = [...line.matchAll(/(?:^|; )(\d+) /g)].map(([, exit]) => exit);
  const known = [...help.slice(help.indexOf('Exit codes:')).matchAll(/^ {2}(\d+) /gm)].map(([, exit]) => exit);
  t.strictSame(told, known);
});

/** As GitHub makes them: of two equal headings the second gets `-1`. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of text.replace(/^```.*?^```/gms, '').matchAll(/^#{1,6} (.*)$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').trim();
    const slug = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-');
    let anchor = slug;
    for (let number = 1; anchors.has(anchor); number += 1) anchor = `${slug}-${number}`;
    anchors.add(anchor);
  }
  return anchors;
}

t.test('every relative link of the documents leads to a file and a heading that are there', async (t) => {
  let found = 0;
  for (const name of documents) {
    const text = read(name)
      .replace(/^```.*?^```/gms, '')
      .replace(/`[^`\n]*`/g, '');
    for (const [link, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      found += 1;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? name : relative(root, join(root, dirname(name), path));
      if (!t.ok(existsSync(join(root, file)), `${name}: ${link}`) || anchor === undefined) continue;
      t.ok(
        statSync(join(root, file)).isFile() && anchorsOf(read(file)).has(anchor),
        `${name}: ${link} has its heading`,
      );
    }
  }
  t.ok(found > 10, `${found} links`);
});
