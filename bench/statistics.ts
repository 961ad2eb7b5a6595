// The few figures of a sample that are told. Nothing is ever averaged: one bad moment of the machine would show in all.

/** NaN of nothing. */
export function median(sample: readonly number[]): number {
  const sorted = sample.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return (low + high) / 2;
}

/** @param share 0.99 for p99. NaN of nothing */
export function percentile(sorted: readonly number[] | Float64Array, share: number): number {
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? Number.NaN;
}
