// Defaults that are references: what is usual in an environment is taken from there unless the file says otherwise.
import { asMapping } from './raw-data.ts';

/** The default of each, as it would stand in the file. */
export const defaultReferences = {
  egress: { proxy: '${env:HTTPS_PROXY:-}', noProxy: '${env:NO_PROXY:-}' },
} as const;

/** A copy of the data of a file with these where the file says nothing; a group that is no mapping stays as it is. */
export function withDefaultReferences(data: unknown): unknown {
  const isMapping = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isMapping(data)) return data;
  const copy: Record<string, unknown> = Object.assign(Object.create(null), data);
  for (const [name, references] of Object.entries(defaultReferences)) {
    const group = copy[name];
    if (group !== undefined && !isMapping(group)) continue;
    copy[name] = Object.assign(Object.create(null), references, asMapping(group));
  }
  return copy;
}
