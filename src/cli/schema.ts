// `sidebearer schema`: the JSON Schema of the configuration, on standard output.
import { createJsonSchema } from '../config/json-schema.ts';
import type { Invocation } from './command.ts';

export async function schema({ out }: Invocation): Promise<number> {
  out(JSON.stringify(createJsonSchema(), null, 2));
  return 0;
}
