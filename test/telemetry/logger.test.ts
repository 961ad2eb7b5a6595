import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { createLogger } from '../../src/telemetry/logger.ts';

const run = promisify(execFile);
const SECRET = 'S3cr3t-value_0';

async function linesOf(format: 'json' | 'pretty', level: 'trace' | 'warn' | 'silent' = 'trace') {
  const lines: string[] = [];
  const logger = await createLogger({
    level,
    format,
    base: { version: '1.2.3', token: SECRET },
    sink: { write: (line) => void lines.push(line) },
  });
  return { logger, lines };
}

t.test('a JSON line has level, time, the base fields, the fields and the message', async (t) => {
  const { logger, lines } = await linesOf('json');
  logger.info({ code: 'grant_revoked', credential: 'codex' }, 'Hello %s %d');
  t.equal(lines.length, 1);
  t.ok(lines[0]?.endsWith('}\n'));
  t.match(JSON.parse(lines[0] ?? ''), {
    level: 'info',
    time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    version: '1.2.3',
    token: '[redacted]',
    code: 'grant_revoked',
    credential: 'codex',
    msg: 'Hello %s %d',
  });
});

t.test('no secret leaves at any level in any format, in a field, an error or the message', async (t) => {
  for (const format of ['json', 'pretty'] as const) {
    const { logger, lines } = await linesOf(format);
    const error = new Error(`GET /?code=${SECRET}`, { cause: { access_token: SECRET } });
    for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) {
      logger[level](
        { headers: { Authorization: `Bearer ${SECRET}` }, err: error, body: { refresh_token: SECRET } },
        `sent Bearer ${SECRET}`,
      );
    }
    t.equal(lines.length, 6);
    t.notMatch(lines.join(''), SECRET, format);
  }
});

t.test('pretty lines are one line each, with the message and the code', async (t) => {
  const { logger, lines } = await linesOf('pretty');
  logger.warn({ code: 'store_write_failed', credential: 'codex' }, 'The store cannot be written');
  t.equal(lines.length, 1);
  t.match(lines[0], /^\[\d\d:\d\d:\d\d\.\d{3}\] WARN.*: The store cannot be written .*"code":"store_write_failed"/);
  t.equal(lines[0]?.split('\n').length, 2, 'it ends in one newline');
});

t.test('below the level nothing is printed and the fields are not even looked at', async (t) => {
  const { logger, lines } = await linesOf('json', 'warn');
  logger.info(
    {
      get looked() {
        return t.fail('the fields were read');
      },
    },
    'quiet',
  );
  t.notOk(logger.isEnabled('info'));
  t.ok(logger.isEnabled('warn'));
  logger.warn({}, 'loud');
  t.equal(lines.length, 1);
  const silent = await linesOf('json', 'silent');
  silent.logger.fatal({}, 'never');
  t.strictSame(silent.lines, []);
});

for (const format of ['json', 'pretty'] as const) {
  t.test(`${format} lines reach standard output at once: the last one before an exit is not lost`, async (t) => {
    const module = new URL('../../src/telemetry/logger.ts', import.meta.url).href;
    const source = `
      import { createLogger } from ${JSON.stringify(module)};
      const logger = await createLogger({ level: 'info', format: '${format}' });
      for (let i = 0; i < 500; i += 1) logger.info({ i }, 'line');
      logger.error({}, 'the last words');
      process.exit(3);`;
    const failed = await run(process.execPath, ['--input-type=module', '-e', source]).then(
      () => t.fail('it exits with 3'),
      (error: { code: number; stdout: string }) => error,
    );
    t.match(failed, { code: 3, stdout: /the last words/ });
  });
}
