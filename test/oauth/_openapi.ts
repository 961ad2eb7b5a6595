// docs/openapi.json, read for one question: does this answer say what the document promises?
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Reply } from './_fakes.ts';

interface Operation {
  readonly responses: Readonly<Record<string, { content: Readonly<Record<string, { schema: object }>> }>>;
}

const file = new URL('../../docs/openapi.json', import.meta.url);
const text = readFileSync(file, 'utf8');
export const document: {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
} = JSON.parse(text);

/** Every operation, as `POST /oauth/refresh`. */
export const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.keys(item)
    .filter((key) => key !== 'parameters')
    .map((method) => `${method.toUpperCase()} ${path}`),
);

/** What is wrong with the answer; undefined where it is as documented. */
export function deviation(operation: string, reply: Reply): string | undefined {
  const [method = '', path = ''] = operation.split(' ');
  const { responses } = document.paths[path]?.[method.toLowerCase()] as Operation;
  const documented = responses[String(reply.status)];
  if (documented === undefined) return `${reply.status} is not documented: ${reply.body}`;
  const content = documented.content[String(reply.headers['content-type'])];
  if (content === undefined) return `its type is not documented: ${reply.headers['content-type']}`;
  const result = z
    .fromJSONSchema(inlined(content.schema) as z.core.JSONSchema.JSONSchema)
    .safeParse(JSON.parse(reply.body));
  return result.success ? undefined : `${result.error.message} in ${reply.body}`;
}

/** With every reference replaced by what it names. */
function inlined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inlined);
  if (typeof value !== 'object' || value === null) return value;
  if ('$ref' in value) return inlined(document.components.schemas[String(value.$ref).split('/').at(-1) ?? '']);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inlined(each)]));
}
