// `sidebearer rekey`: seals every stored record under the first key of `store.keys`, by the running sidecar or offline.
// It says of each what became of it, and in the end whether the other keys may go.
import { loadConfig } from '../config/load.ts';
import { formatMistake } from '../config/mistake.ts';
import { catalogue, type ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import { openConfig } from './configuration.ts';
import { tellFailure } from './failure.ts';
import { order } from './order.ts';
import { asFields, plainText } from './status.ts';

const words = {
  resealed: 'sealed under the first key',
  current: 'was sealed under the first key already',
  empty: 'has no tokens',
  held: 'is being refreshed by another process; run this again',
} as const;

/** A word of `words`, or the failure. */
type Tell = (credential: string, result: keyof typeof words | SidebearerError) => void;

export async function rekey(invocation: Invocation): Promise<number> {
  const { flags, out, err } = invocation;
  let failed = 0;
  const isQuiet = flags.has('json');
  const tell: Tell = (credential, result) => {
    if (typeof result !== 'string' || result === 'held') failed += 1;
    if (isQuiet) return;
    if (typeof result === 'string') out(`${credential}: ${words[result]}`);
    else err(`${credential}: ${tellFailure(result).text}`);
  };
  const isDone = flags.has('offline') ? await rekeyOffline(invocation, tell) : await rekeyRunning(invocation, tell);
  if (!isDone) return 1;
  if (failed > 0) {
    err(`${failed} could not be sealed anew: keep all of store.keys.`);
    return 1;
  }
  if (isQuiet) return 0;
  out('Every record is sealed under the first of store.keys.');
  out('The others may be removed once each sidecar runs with this order of keys, and no login is older than 30 min.');
  return 0;
}

/** False: the configuration has mistakes, which have been told. */
async function rekeyOffline(invocation: Invocation, tell: Tell): Promise<boolean> {
  const loaded = loadConfig(await openConfig(invocation));
  if (!loaded.ok) {
    for (const mistake of loaded.mistakes) invocation.err(formatMistake(mistake));
    return false;
  }
  const { rekeyStore } = await import('../assembly/rekey.ts');
  await rekeyStore(loaded.config, tell);
  return true;
}

async function rekeyRunning(invocation: Invocation, tell: Tell): Promise<boolean> {
  const answer = await order(invocation, '/oauth/rekey', {});
  if (answer === undefined) return false;
  const { credentials } = answer;
  for (const each of Array.isArray(credentials) ? credentials : []) {
    const { credential, result, code } = asFields(each);
    const name = plainText(String(credential), 80);
    if (typeof result === 'string' && Object.hasOwn(words, result)) tell(name, result as keyof typeof words);
    else tell(name, new SidebearerError(isCode(code) ? code : 'sidecar_unreachable', { credential: name }));
  }
  return true;
}

function isCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(catalogue, code);
}
