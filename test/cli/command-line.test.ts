import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { z } from 'zod';
import { readArguments } from '../../src/cli/arguments.ts';
import { commands } from '../../src/cli/commands.ts';
import { tellFailure } from '../../src/cli/failure.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { minimal } from '../config/_source.ts';
import { sidebearer } from './_command.ts';

t.test('check of a valid file prints so and exits 0', async (t) => {
  const file = join(t.testdir({ 'c.yaml': minimal }), 'c.yaml');
  t.strictSame(await sidebearer(['check', '--config', file]), { code: 0, out: `${file}: valid\n`, err: '' });
});

t.test('check prints every mistake as file:line:column: code: message and exits 1', async (t) => {
  const text = minimal
    .replace('credential: codex', 'credential: codx')
    .replace('kind: memory', 'kind: file\n  pth: /x');
  const file = join(t.testdir({ 'c.yaml': text }), 'c.yaml');
  const { code, out, err } = await sidebearer(['check', '-c', file]);
  t.equal(code, 1);
  t.strictSame(out.trimEnd().split('\n'), [
    `${file}:3:17: config_credential_unknown: routes[0].credential: expected the name of a credential that stands under \`credentials\` (did you mean codex?)`,
    `${file}:7:1: config_keys_missing: store.keys: expected at least one key to seal the tokens with (\`openssl rand -base64 32\`), or \`plaintext: true\``,
    `${file}:9:3: config_key_unknown: store.pth: not a known setting (did you mean path?)`,
  ]);
  t.match(err, /no route uses this credential[\s\S]*3 mistakes/);
});

t.test('check --json prints the same as data', async (t) => {
  const file = join(t.testdir({ 'c.yaml': `${minimal}logg: {}\n` }), 'c.yaml');
  const { code, out } = await sidebearer(['check', '--config', file, '--json']);
  t.equal(code, 1);
  t.strictSame(JSON.parse(out), {
    ok: false,
    file,
    mistakes: [
      {
        code: 'config_key_unknown',
        file,
        line: 9,
        column: 1,
        path: 'logg',
        message: 'not a known setting',
        nearest: 'log',
      },
    ],
    warnings: [],
  });
});

t.test('check reads standard input with --config -, and passes references over with --no-references', async (t) => {
  const input = minimal.replace('provider: codex', 'provider: codex\n    clientId: ${env:ABSENT}');
  t.match(await sidebearer(['check', '--config', '-', '--no-references'], { input }), {
    code: 0,
    out: '<stdin>: valid\n',
  });
  t.match(await sidebearer(['check', '--config', '-'], { input }), {
    code: 1,
    out: /^<stdin>:7:15: config_reference_missing/,
  });
});

t.test('check tells an absent file and bytes that are not text', async (t) => {
  const folder = t.testdir({});
  writeFileSync(join(folder, 'latin.yaml'), Buffer.from('log: { level: \xe9 }', 'latin1'));
  for (const [name, message] of [
    ['absent.yaml', /config_unreadable: the file does not exist/],
    ['latin.yaml', /config_unreadable: the file is not text in UTF-8/],
    ['.', /config_unreadable: the file is a folder/],
  ] as const) {
    t.match(await sidebearer(['check', '--config', join(folder, name)]), { code: 1, out: message }, name);
  }
});

t.test('a flag wins over its variable, which wins over the file', async (t) => {
  const file = join(t.testdir({ 'c.yaml': `${minimal}log: { level: wrong }\n` }), 'c.yaml');
  const fromFile = await sidebearer(['check'], { env: { SIDEBEARER_CONFIG: file } });
  t.match(fromFile, { code: 1, out: /c\.yaml:9:15: config_value_invalid: log\.level/ });
  const env = { SIDEBEARER_CONFIG: file, SIDEBEARER_LOG_LEVEL: 'loud' };
  t.match(await sidebearer(['check'], { env }), { code: 1, out: /^SIDEBEARER_LOG_LEVEL: config_value_invalid/ });
  t.match(await sidebearer(['check', '--log-level', 'warn'], { env }), { code: 0 });
});

t.test('run with mistakes prints them on standard error and exits 1, without the proxy being loaded', async (t) => {
  const { code, out, err } = await sidebearer(['run', '--config', '-'], { input: 'log: 1\n' });
  t.equal(code, 1);
  t.equal(out, '');
  t.match(err, /<stdin>:1:6: config_value_invalid: log/);
});

t.test('what is not understood is usage_invalid with exit 2, and names what was probably meant', async (t) => {
  const cases: readonly (readonly [string[], RegExp])[] = [
    [[], /a command is missing/],
    [['chek'], /no command "chek" \(did you mean check\?\)/],
    [['--config', 'x'], /the command comes first/],
    [['check', '--confg', 'x'], /no flag "--confg" \(did you mean --config\?\)/],
    [['check', '--config'], /--config needs a value: FILE/],
    [['check', '--config', '--json'], /--config needs a value/],
    [['check', '--config='], /--config needs a value/],
    [['check', '--json=yes'], /--json takes no value/],
    [['check', 'file.yaml'], /"file\.yaml" is not expected here/],
    [['check', '--', '--config'], /"--config" is not expected here/],
    [['schema', '-x'], /no flag "-x"/],
    [['help', 'chek'], /no command "chek"/],
  ];
  for (const [argv, reason] of cases) {
    try {
      readArguments(argv, {});
      t.fail(`${argv.join(' ')} was understood`);
    } catch (thrown) {
      const { text, exit } = tellFailure(thrown);
      t.equal(exit, 2, argv.join(' '));
      t.match(text, reason);
    }
  }
  t.match(await sidebearer(['check']), { code: 2, out: '', err: /^sidebearer: usage_invalid: .*--config FILE/ });
});

t.test('an empty variable counts as not set', async (t) => {
  const wanted = readArguments(['check'], { SIDEBEARER_LOG_LEVEL: '', SIDEBEARER_LISTEN_OAUTH: 'off' });
  t.match(wanted, {
    wish: 'execute',
    flags: new Map([['listen-oauth', { value: 'off', source: 'SIDEBEARER_LISTEN_OAUTH' }]]),
  });
  t.equal(wanted.wish === 'execute' && wanted.flags.has('log-level'), false);
});

t.test('--help names every command with an example, and the exit codes', async (t) => {
  const { code, out } = await sidebearer(['--help']);
  t.equal(code, 0);
  for (const { name, examples } of commands) {
    t.match(out, new RegExp(`^  ${name} `, 'm'));
    t.ok(out.includes(examples[0] ?? '?'), name);
  }
  t.match(out, /Exit codes:[\s\S]*\b0 [\s\S]*\b1 [\s\S]*\b2 [\s\S]*\b13 /);
  t.match(await sidebearer(['check', '--help']), {
    code: 0,
    out: /--no-references[\s\S]*SIDEBEARER_CONFIG|SIDEBEARER_CONFIG/,
  });
});

t.test('--version names version, commit and Node', async (t) => {
  t.match(await sidebearer(['--version']), {
    code: 0,
    out: /^sidebearer \d+\.\d+\.\d+ \(commit ([0-9a-f]{12}|unknown), node v\d+/,
  });
});

t.test('schema prints a JSON Schema that is one', async (t) => {
  const { code, out } = await sidebearer(['schema']);
  t.equal(code, 0);
  t.doesNotThrow(() => z.fromJSONSchema(JSON.parse(out)));
});

t.test('a reader that leaves early is no failure', async (t) => {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] });
  // Nobody reads: the write fails with EPIPE, as after `| head`.
  child.stdout.destroy();
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const [code] = await once(child, 'close');
  t.equal(err, '');
  t.equal(code, 0);
});

t.test('a failure is told with its details and next step, and an unknown one without its message', async (t) => {
  const busy = new SidebearerError('listen_port_busy', {
    address: '127.0.0.1:1455',
    setting: 'listen.oauth',
    holder: 'x (pid 1)',
  });
  t.strictSame(tellFailure(busy), {
    text: 'sidebearer: listen_port_busy: The port is in use (127.0.0.1:1455, setting listen.oauth, held by x (pid 1)). End the process that holds it, or move the listener with the setting that is named.',
    exit: 13,
  });
  const { text, exit } = tellFailure(new TypeError('token s3cret is wrong'));
  t.equal(exit, 1);
  t.match(text, /^sidebearer: internal_error: .*\n {2}TypeError\n +at /);
  t.notMatch(text, /s3cret/);
  const deceitful = Object.assign(new Error('\n    at s3cret:1:1'), { code: 's3cret', name: 's3cret' });
  t.notMatch(tellFailure(new SidebearerError('internal_error', {}, deceitful)).text, /s3cret/);
});
