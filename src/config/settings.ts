// The schema as a list of settings: for docs, for "did you mean", and to know which values are secrets.
// It reads the schema and adds nothing to it.
import * as z from 'zod';
import type { SettingPath } from './mistake.ts';
import { configSchema } from './schema.ts';
import { fixedSettings } from './setting.ts';
import { kinds } from './value-kinds.ts';

export interface Setting {
  /** `routes[].timeouts.connect`, `credentials.NAME.refresh.lead`. */
  readonly path: string;
  /** `duration`, `URL`, `group` … */
  readonly type: string;
  /** Of the value in `Config`. */
  readonly unit?: string;
  readonly isRequired: boolean;
  readonly isSecret: boolean;
  /** A running process cannot change it. */
  readonly needsRestart: boolean;
  /** As it would stand in the file; absent where there is none. */
  readonly byDefault?: unknown;
  readonly doc: string;
  /** Providers of a credential that take it; absent where all do, and outside of credentials. */
  readonly providers?: readonly string[];
}

/** What lies under the wrappers (default, optional, transform). */
function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) return unwrap(schema.def.innerType);
  // A kind of value is itself a pipe, from anything to its reader: it ends the search.
  if (schema instanceof z.ZodPipe && !kinds.has(schema)) return unwrap(schema.def.in);
  return schema;
}

function findKind(schema: z.core.$ZodType) {
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) return findKind(schema.def.innerType);
  return kinds.get(schema);
}

/** Every setting, in the order of the schema. */
export function listSettings(): readonly Setting[] {
  return [...walk(configSchema, '')];
}

function* walk(schema: z.core.$ZodType, path: string): Generator<Setting> {
  const inner = unwrapToShape(schema);
  if (inner instanceof z.ZodObject) {
    for (const [key, value] of Object.entries(inner.shape))
      yield* describe(value, path === '' ? key : `${path}.${key}`);
  } else if (inner instanceof z.ZodArray) {
    yield* walk(inner.element, `${path}[]`);
  } else if (inner instanceof z.ZodRecord && unwrapToShape(inner.valueType) instanceof z.ZodDiscriminatedUnion) {
    yield* walk(inner.valueType, `${path}.NAME`);
  } else if (inner instanceof z.ZodDiscriminatedUnion) {
    yield* mergeOptions(inner, path);
  }
}

function* describe(schema: z.core.$ZodType, path: string): Generator<Setting> {
  const meta = z.globalRegistry.get(schema);
  const kind = findKind(schema);
  const inner = unwrapToShape(schema);
  yield {
    path,
    type: kind?.type ?? describeType(inner),
    ...(kind?.unit === undefined ? {} : { unit: kind.unit }),
    isRequired: schema._zod.optin === undefined,
    isSecret: kind?.isSecret ?? (inner instanceof z.ZodArray && findKind(inner.element)?.isSecret === true),
    needsRestart: fixedSettings.has(schema),
    ...(meta?.default === undefined ? {} : { byDefault: meta.default }),
    doc: meta?.description ?? '',
  };
  yield* walk(schema, path);
}

function describeType(schema: z.core.$ZodType): string {
  if (schema instanceof z.ZodLiteral) return [...schema.values].join(', ');
  if (schema instanceof z.ZodArray) return `list of ${findKind(schema.element)?.type ?? 'groups'}`;
  if (schema instanceof z.ZodRecord) return `mapping of ${findKind(schema.valueType)?.type ?? 'groups'}`;
  return 'group';
}

function unwrapToShape(schema: z.core.$ZodType): z.core.$ZodType {
  return kinds.has(schema) ? schema : unwrap(schema);
}

/** The settings of all providers, those that are alike taken together. */
function mergeOptions(union: z.ZodDiscriminatedUnion, path: string): Setting[] {
  const merged = new Map<string, Setting & { providers: string[] }>();
  for (const option of union.options) {
    const provider = providerOf(option);
    for (const setting of walk(option, path)) {
      const key = JSON.stringify(setting);
      const known = merged.get(key);
      if (known === undefined) merged.set(key, { ...setting, providers: [provider] });
      else known.providers.push(provider);
    }
  }
  const all = union.options.length;
  const rows = [...merged.values()].map(({ providers, ...setting }) =>
    providers.length === all ? setting : { ...setting, providers },
  );
  // Rows of one path stand together, where the path first appears.
  const order = [...new Set(rows.map((row) => row.path))];
  return rows.toSorted((a, b) => order.indexOf(a.path) - order.indexOf(b.path));
}

function providerOf(option: z.core.$ZodType): string {
  const inner = unwrap(option);
  const literal = inner instanceof z.ZodObject ? inner.shape['provider'] : undefined;
  return literal instanceof z.ZodLiteral ? String(literal.value) : '';
}

/** The keys that may stand in the mapping at `path`; none where any may, or where the path leads nowhere. */
export function keysAt(path: SettingPath, data: unknown): readonly string[] {
  let schema: z.core.$ZodType = unwrapToShape(configSchema);
  let value = data;
  for (const step of path) {
    value = typeof value === 'object' && value !== null ? Reflect.get(value, step) : undefined;
    if (schema instanceof z.ZodObject) schema = schema.shape[step] ?? z.never();
    else if (schema instanceof z.ZodArray) schema = schema.element;
    else if (schema instanceof z.ZodRecord) schema = schema.valueType;
    else return [];
    schema = chooseOption(unwrapToShape(schema), value);
  }
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function chooseOption(schema: z.core.$ZodType, value: unknown): z.core.$ZodType {
  if (!(schema instanceof z.ZodDiscriminatedUnion)) return schema;
  const provider = typeof value === 'object' && value !== null ? Reflect.get(value, 'provider') : undefined;
  return unwrap(schema.options.find((option) => providerOf(option) === provider) ?? z.never());
}

/** Providers whose credentials take the key. */
export function providersWithKey(key: string): readonly string[] {
  const { credentials } = configSchema.shape;
  const union = unwrap(credentials.valueType);
  if (!(union instanceof z.ZodDiscriminatedUnion)) return [];
  return union.options.flatMap((option) => {
    const inner = unwrap(option);
    return inner instanceof z.ZodObject && Object.hasOwn(inner.shape, key) ? [providerOf(option)] : [];
  });
}
