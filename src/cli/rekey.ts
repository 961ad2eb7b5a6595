// `sidebearer rekey --offline`: seals every stored record under the first key of `store.keys`, credential by credential.
// It says of each what became of it, and in the end whether the other keys may go.
import { loadConfig } from '../config/load.ts';
import { formatMistake } from '../config/mistake.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import { openConfig } from './configuration.ts';
import { tellFailure } from './failure.ts';

const words = {
  resealed: 'sealed under the first key',
  current: 'was sealed under the first key already',
  empty: 'has no tokens',
  held: 'is being refreshed by another process; run this again',
} as const;

export async function rekey(invocation: Invocation): Promise<number> {
  const { flags, out, err } = invocation;
  if (!flags.has('offline')) {
    const reason = '--offline is missing: this command opens the store itself';
    throw new SidebearerError('usage_invalid', { reason });
  }
  const loaded = loadConfig(await openConfig(invocation));
  if (!loaded.ok) {
    for (const mistake of loaded.mistakes) err(formatMistake(mistake));
    return 1;
  }
  const { rekeyStore } = await import('../sidecar.ts');
  let failed = 0;
  await rekeyStore(loaded.config, (credential, result) => {
    if (typeof result === 'string') out(`${credential}: ${words[result]}`);
    else err(`${credential}: ${tellFailure(result).text}`);
    if (typeof result !== 'string' || result === 'held') failed += 1;
  });
  if (failed > 0) {
    err(`${failed} could not be sealed anew: keep all of store.keys.`);
    return 1;
  }
  out('Every record is sealed under the first of store.keys.');
  out('The others may be removed once each sidecar runs with this order of keys, and no login is older than 30 min.');
  return 0;
}
