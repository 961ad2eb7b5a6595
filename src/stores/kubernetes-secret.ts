// The keys of a Secret as JSON: one of them is ours, and what else stands in the Secret stays.
import type { KubernetesObject } from './kubernetes-api.ts';
import { isFields } from './stored-record.ts';

/** A key's value; `parsed` is undefined where it is not JSON. */
export function readKey(secret: KubernetesObject, key: string): { readonly parsed: unknown } | undefined {
  const data = secret['data'];
  const encoded = isFields(data) ? data[key] : undefined;
  if (typeof encoded !== 'string' || encoded === '') return undefined;
  try {
    return { parsed: JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')) };
  } catch {
    return { parsed: undefined };
  }
}

/** The Secret with one key set, or taken out. */
export function withKey(secret: KubernetesObject, key: string, value: object | undefined): KubernetesObject {
  const { [key]: _, ...others } = isFields(secret['data']) ? secret['data'] : {};
  const encoded = value === undefined ? {} : { [key]: Buffer.from(JSON.stringify(value)).toString('base64') };
  return { ...secret, data: { ...others, ...encoded } };
}
