// `sidebearer import FILE`: what another program had becomes the tokens of a credential. It shows what it found before
// anything is written, and takes the tokens out of the file only once they are stored. No token is ever printed.
import { randomBytes } from 'node:crypto';
import { chmod, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { systemClock } from '../clock.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import { describeSuccess } from './login-wait.ts';
import { type Desk, findDesk, order, statusIn } from './order.ts';
import { asFields, plainText, showTime } from './status.ts';
import { type FoundTokens, readTokenFile, withoutTokens } from './token-files.ts';

/** Far above any file of tokens. */
const MAX_FILE_BYTES = 1_048_576;

export async function importFile(invocation: Invocation): Promise<number> {
  const { operand: path, flags, err, out } = invocation;
  if (path === undefined) throw new SidebearerError('usage_invalid', { reason: 'FILE is missing' });
  const found = readTokenFile(await readSource(path));
  const goal = flags.has('offline') ? await findOffline(invocation) : await findOnline(invocation);
  if (goal === undefined) return 1;
  for (const line of describe(path, found, goal)) err(line);
  if (!flags.has('yes') && !(await isConfirmed(invocation, goal.credential))) {
    err('Nothing was done.');
    return 1;
  }
  const lines = await goal.take(found);
  if (lines === undefined) return 1;
  if (!flags.has('json')) out(lines.join('\n'));
  if (flags.has('move')) {
    await move(path, found);
    err(`The tokens were taken out of ${plainText(path, 300)}.`);
  } else {
    err(`${found.program} must not use this login any more: two programs with one refresh token log each other out.`);
  }
  return 0;
}

/** Where the tokens go. */
interface Goal {
  readonly credential: string;
  readonly place: string;
  /** @returns what to tell of it; undefined where that was told */
  take(found: FoundTokens): Promise<readonly string[] | undefined>;
}

async function findOnline(invocation: Invocation): Promise<Goal | undefined> {
  const desk = await findDesk(invocation);
  if (desk === undefined) return undefined;
  const { credential, storedIn } = await chooseCredential(invocation, desk);
  const place =
    typeof storedIn === 'string' ? `${plainText(storedIn, 200)}, through ${desk.target.name}` : desk.target.name;
  return {
    credential,
    place,
    async take({ accessToken, refreshToken, idToken, expiresAtMs, obtainedAtMs }) {
      const replace = invocation.flags.has('replace');
      const expiresAt = isoTime(expiresAtMs);
      const obtainedAt = isoTime(obtainedAtMs);
      const body = { credential, accessToken, refreshToken, idToken, expiresAt, obtainedAt, replace };
      const answer = await order(invocation, '/oauth/import', body);
      if (answer === undefined) return undefined;
      return describeSuccess(credential, statusIn(answer), storedIn, systemClock.wallMs(), 'imported');
    },
  };
}

async function findOffline(invocation: Invocation): Promise<Goal | undefined> {
  const [{ loadConfig }, { openConfig }, { formatMistake }] = await Promise.all([
    import('../config/load.ts'),
    import('./configuration.ts'),
    import('../config/mistake.ts'),
  ]);
  const loaded = loadConfig(await openConfig(invocation));
  if (!loaded.ok) {
    for (const mistake of loaded.mistakes) invocation.err(formatMistake(mistake));
    return undefined;
  }
  const { config } = loaded;
  const names = Object.entries(config.credentials)
    .filter(([, { provider }]) => provider === 'codex')
    .map(([name]) => name);
  const credential = pick(invocation, names);
  if (!Object.hasOwn(config.credentials, credential)) throw new SidebearerError('credential_unknown', { credential });
  const [{ importOffline }, { describeStore }] = await Promise.all([
    import('../assembly/offline-import.ts'),
    import('../assembly/store.ts'),
  ]);
  const storedIn = describeStore(config.store);
  return {
    credential,
    place: storedIn,
    // What names the account in the file is for a person; the provider reads it out of the tokens.
    async take({ program: _program, account: _account, ...tokens }) {
      const replaceAccount = invocation.flags.has('replace');
      const status = await importOffline(config, credential, tokens, { replaceAccount });
      if (invocation.flags.has('json'))
        invocation.out(JSON.stringify({ result: 'imported', credential: status }, null, 2));
      return describeSuccess(credential, asFields(status), storedIn, systemClock.wallMs(), 'imported');
    },
  };
}

async function chooseCredential(
  invocation: Invocation,
  desk: Desk,
): Promise<{ credential: string; storedIn: unknown }> {
  const { credentials, storedIn } = await desk.send('/status.json');
  const names = (Array.isArray(credentials) ? credentials.map(asFields) : [])
    .filter(({ provider }) => provider === 'codex')
    .map(({ name }) => plainText(String(name), 80));
  return { credential: pick(invocation, names), storedIn };
}

/** @throws usage_invalid where none is named and there is not exactly one */
function pick({ flags }: Invocation, names: readonly string[]): string {
  const written = flags.get('credential')?.value;
  if (written !== undefined) return written;
  const [only, ...others] = names;
  if (only !== undefined && others.length === 0) return only;
  const reason =
    only === undefined
      ? 'no credential has the provider codex: name one with --credential'
      : `--credential is one of ${names.join(', ')}`;
  throw new SidebearerError('usage_invalid', { reason });
}

function describe(path: string, found: FoundTokens, { credential, place }: Goal): string[] {
  const { program, account, accessToken, refreshToken, expiresAtMs } = found;
  const expiry = showTime(expiresAtMs, systemClock.wallMs());
  const tokens = [
    accessToken === undefined ? 'no access token' : `access token${expiry === '-' ? '' : `, expires ${expiry}`}`,
    refreshToken === undefined ? 'no refresh token: a login is needed when it ends' : 'refresh token',
  ];
  return [
    `${plainText(path, 300)} is a login of ${program}:`,
    `  account      ${account === undefined ? 'not named' : plainText(account, 80)}`,
    `  tokens       ${tokens.join('; ')}`,
    `  goes to      ${credential} (${place})`,
    `${program} must stop using it: two programs with one refresh token log each other out.`,
  ];
}

/** @throws usage_invalid where nobody can be asked */
async function isConfirmed({ prompt }: Invocation, credential: string): Promise<boolean> {
  const answer = await prompt(`Import it into ${credential}? [y/N] `);
  if (answer === undefined) {
    throw new SidebearerError('usage_invalid', { reason: 'nobody can be asked here: give --yes' });
  }
  return /^y(?:es)?$/i.test(answer.trim());
}

/** @throws import_file_unreadable */
async function readSource(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > MAX_FILE_BYTES) throw new SidebearerError('import_file_unknown', { path });
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (thrown instanceof SidebearerError) throw thrown;
    const code = systemCode(thrown);
    throw new SidebearerError('import_file_unreadable', { path, ...(code !== undefined && { systemCode: code }) });
  }
}

/** All or nothing, and with the same mode. @throws import_source_changed, import_source_unwritable */
async function move(path: string, found: FoundTokens): Promise<void> {
  let scratch: string | undefined;
  try {
    // What a link points to is replaced, never the link.
    const target = await realpath(path);
    const { mode } = await stat(target);
    const rest = withoutTokens(await readFile(target, 'utf8'), found);
    if (rest === undefined) throw new SidebearerError('import_source_changed', { path });
    scratch = `${target}.${randomBytes(6).toString('hex')}.tmp`;
    const file = await open(scratch, 'wx', mode & 0o777);
    try {
      await file.writeFile(rest);
      await file.sync();
    } finally {
      await file.close();
    }
    // The process's mask may have taken bits away.
    await chmod(scratch, mode & 0o777);
    await rename(scratch, target);
  } catch (thrown) {
    if (scratch !== undefined) await rm(scratch, { force: true }).catch(() => undefined);
    if (thrown instanceof SidebearerError) throw thrown;
    const code = systemCode(thrown);
    throw new SidebearerError('import_source_unwritable', { path, ...(code !== undefined && { systemCode: code }) });
  }
}

function isoTime(ms: number | undefined): string | undefined {
  return ms === undefined || Number.isNaN(new Date(ms).getTime()) ? undefined : new Date(ms).toISOString();
}
