// Durations, sizes and percentages as the configuration writes them, turned into numbers.
// Each reader answers undefined for anything that is not exactly its form: it never guesses a unit.

const DURATION_UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZE_UNITS = { B: 1, KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824 } as const;

/** Ten years: longer ones are typing mistakes, and sums with wall time stay valid dates. */
const MAX_DURATION_MS = 3_650 * DURATION_UNITS.d;
const MAX_SIZE_BYTES = 1_024 * SIZE_UNITS.GiB;

export const durationForm = 'a duration such as 250ms, 30s, 5m, 1h or 5d';
export const sizeForm = 'a size such as 512B, 64KiB, 1MiB or 1GiB';
export const shareForm = 'a percentage from 0% to 100%, such as 10%';

/** The same forms for editors; the readers below are the authority. */
export const durationPattern = '^\\d+(ms|s|m|h|d)$';
export const sizePattern = '^\\d+(B|KiB|MiB|GiB)$';
export const sharePattern = '^\\d{1,3}(\\.\\d+)?%$';

/** Milliseconds of `250ms`, `30s`, `5m`, `1h`, `5d`; at most ten years. */
export function readDuration(text: string): number | undefined {
  const match = /^(\d{1,15})(ms|s|m|h|d)$/.exec(text);
  if (match === null) return undefined;
  const ms = Number(match[1]) * DURATION_UNITS[match[2] as keyof typeof DURATION_UNITS];
  return ms <= MAX_DURATION_MS ? ms : undefined;
}

/** Bytes of `512B`, `64KiB`, `1MiB`, `1GiB`; at most 1 TiB. */
export function readSize(text: string): number | undefined {
  const match = /^(\d{1,15})(B|KiB|MiB|GiB)$/.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * SIZE_UNITS[match[2] as keyof typeof SIZE_UNITS];
  return bytes <= MAX_SIZE_BYTES ? bytes : undefined;
}

/** The fraction of `10%`: 0.1. */
export function readShare(text: string): number | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,6})?)%$/.exec(text);
  if (match === null) return undefined;
  const percent = Number(match[1]);
  return percent <= 100 ? percent / 100 : undefined;
}
