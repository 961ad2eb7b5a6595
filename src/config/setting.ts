// How the schema writes a setting down: a kind of value, one line of doc, and a default in the words of the
// configuration file. A default goes through the same reader as a value, so that it cannot be invalid unseen.
import * as z from 'zod';

/** A setting that must be there. */
export function required<T extends z.ZodType>(kind: T, doc: string) {
  return kind.meta({ description: doc });
}

/** A setting without a default: absent in `Config` where it is not set. */
export function optional<T extends z.ZodType>(kind: T, doc: string) {
  return described(kind.optional(), { description: doc });
}

/** A setting with a default, as it would stand in the file. */
export function setting<T extends z.ZodType>(kind: T, byDefault: z.input<T>, doc: string) {
  return described(withDefault(kind, byDefault), { description: doc, default: byDefault });
}

/** A setting whose default is a reference: `withDefaultReferences` puts it into what stands in the file. */
export function referred<T extends z.ZodType>(kind: T, byDefault: z.input<T>, reference: string, doc: string) {
  return described(withDefault(kind, byDefault), { description: doc, default: reference });
}

/** A mapping of settings, each of which has a default or may be absent. */
export function group<T extends z.ZodRawShape>(shape: T, doc: string) {
  const inner = z.strictObject(shape);
  return described(withDefault(inner, {} as z.input<typeof inner>), { description: doc });
}

function withDefault<T extends z.ZodType>(kind: T, byDefault: z.input<T>) {
  return kind.prefault(byDefault as z.core.util.NoUndefined<z.input<T>>);
}

/** The wrapper itself: `meta()` would make a second one of it, and every start pays for some hundred of them. */
function described<T extends z.ZodType>(schema: T, meta: z.core.GlobalMeta): T {
  z.globalRegistry.add<z.ZodType>(schema, meta);
  return schema;
}

/** Settings that a running process cannot change. */
export const fixedSettings = new WeakSet<z.core.$ZodType>();

/** Applies at the start alone: a reload that would change it is refused. */
export function fixed<T extends z.ZodType>(setting: T): T {
  fixedSettings.add(setting);
  return setting;
}
