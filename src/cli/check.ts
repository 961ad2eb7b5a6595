// `sidebearer check`: every mistake of a configuration, without any network. Exit 0, or 1 with the mistakes.
import { checkConfig } from '../config/load.ts';
import { formatMistake, formatWarning } from '../config/mistake.ts';
import type { Invocation } from './command.ts';
import { openConfig } from './configuration.ts';

export async function check(invocation: Invocation): Promise<number> {
  const source = await openConfig(invocation);
  const { flags, out, err } = invocation;
  const { mistakes, warnings } = checkConfig(source, { resolveReferences: !flags.has('no-references') });
  const ok = mistakes.length === 0;
  if (flags.has('json')) {
    out(JSON.stringify({ ok, file: source.file, mistakes, warnings }, null, 2));
    return ok ? 0 : 1;
  }
  for (const mistake of mistakes) out(formatMistake(mistake));
  for (const warning of warnings) err(formatWarning(warning));
  if (ok) out(`${source.file}: valid`);
  else err(`${mistakes.length} ${mistakes.length === 1 ? 'mistake' : 'mistakes'}`);
  return ok ? 0 : 1;
}
