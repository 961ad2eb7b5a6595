// The JSON Schema of the configuration, for editors: what a file may hold, references included. It is laxer than
// `check`, which also knows the rules between settings.
import * as z from 'zod';
import { configSchema } from './schema.ts';

/** Draft 2020-12. */
export function createJsonSchema(): Record<string, unknown> {
  // `input`: what stands in the file; the output has numbers where the file has durations.
  const schema = z.toJSONSchema(configSchema, {
    io: 'input',
    target: 'draft-2020-12',
    override: ({ jsonSchema }) => {
      // An empty default of a group tells an editor nothing.
      const { default: byDefault, type } = jsonSchema;
      if (type === 'object' && JSON.stringify(byDefault) === '{}') delete jsonSchema.default;
    },
  });
  return { title: 'Sidebearer configuration', ...schema };
}
