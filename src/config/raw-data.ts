// Looking at configuration data before it is known to be valid: whatever is of another type reads as absent.
import type { Caution, Finding } from './mistake.ts';
import { readDuration } from './units.ts';

export type Mapping = Readonly<Record<string, unknown>>;

/** What the rules between settings found. */
export interface Verdict {
  readonly findings: Finding[];
  readonly cautions: Caution[];
}

export function asMapping(value: unknown): Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Mapping) : {};
}

export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Milliseconds. */
export function asDuration(value: unknown): number | undefined {
  return typeof value === 'string' ? readDuration(value) : undefined;
}

/** Two settings that mean something only together. */
export function checkPair(
  group: Mapping,
  one: string,
  other: string,
  complain: (below: readonly string[], message: string) => void,
): void {
  if (group[one] !== undefined && group[other] === undefined) complain([other], `expected it beside ${one}`);
  if (group[other] !== undefined && group[one] === undefined) complain([one], `expected it beside ${other}`);
}

/** `localhost`, 127.0.0.0/8 and ::1, as `URL.hostname` writes them. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
