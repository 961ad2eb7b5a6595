// "Did you mean": the valid name that was probably meant. Silent where nothing is close: a wrong hint is worse
// than none.
import { distance } from 'fastest-levenshtein';

/** The candidate closest to `written`, or undefined. Case, `-` and `_` count for nothing. */
export function nearest(written: string, candidates: readonly string[]): string | undefined {
  const wanted = fold(written);
  // A typing mistake is short; comparing very long names only costs time.
  if (wanted === '' || wanted.length > 64) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    const steps = distance(wanted, fold(candidate));
    if (steps < bestDistance && steps < candidate.length) {
      best = candidate;
      bestDistance = steps;
    }
  }
  return best;
}

function fold(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, '');
}
