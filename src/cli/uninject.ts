// `sidebearer uninject`: a file without what inject added to it.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { type Removal, removeSidecar } from '../inject/pod-removal.ts';
import type { Invocation } from './command.ts';
import { readManifest, writeManifest } from './manifest-file.ts';

export async function uninject(invocation: Invocation): Promise<number> {
  const { flags, err } = invocation;
  if (!flags.has('file')) throw new SidebearerError('usage_invalid', { reason: '--file FILE is missing' });
  const outcomes = new Set<Removal['outcome']>();
  const text = await readManifest(invocation);
  await writeManifest(invocation, text, ({ pod, name }) => {
    const removal = removeSidecar(pod);
    outcomes.add(removal.outcome);
    if (removal.outcome === 'refused') err(`${name}: left as it is: ${removal.reason}`);
    return removal.outcome === 'removed' ? removal.edits : [];
  });
  if (outcomes.has('refused')) return 1;
  if (!outcomes.has('removed')) err('No pod has anything of inject: there is no annotation sidebearer.dev/status.');
  return outcomes.has('removed') ? 0 : 1;
}
