import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { z } from 'zod';
import { createJsonSchema } from '../../src/config/json-schema.ts';
import { checkConfig, loadConfig } from '../../src/config/load.ts';
import { listSettings } from '../../src/config/settings.ts';
import { minimal, sourceOf } from './_source.ts';

const text = readFileSync(new URL('../../config.example.yaml', import.meta.url), 'utf8');

t.test('config.example.yaml is valid, with and without its secrets', async (t) => {
  t.strictSame(checkConfig(sourceOf(text), { resolveReferences: false }), { mistakes: [], warnings: [] });
  const files = {
    '/var/run/secrets/sidebearer/key': `${Buffer.alloc(32, 1).toString('base64')}\n`,
    '/var/run/secrets/idp/client-secret': 'secret\n',
  };
  const loaded = loadConfig(sourceOf(text, { env: { API_CLIENT_SECRET: 'secret' }, files }));
  t.match(loaded, { ok: true, warnings: [], config: { credentials: { reports: { clientAuth: 'basic' } } } });
});

t.test('config.example.yaml shows every setting', async (t) => {
  for (const { path, type } of listSettings()) {
    const key = path.split('.').at(-1) ?? '';
    if (type !== 'group') t.match(text, new RegExp(`\\b${key.replace('[]', '')}:`), path);
  }
});

t.test('the first line of config.example.yaml names the schema, which is the one of docs/', async (t) => {
  t.match(text.split('\n')[0], /^# yaml-language-server: \$schema=docs\/config\.schema\.json$/);
});

t.test('the JSON Schema takes what check takes, references included, and refuses plain mistakes', async (t) => {
  const json = createJsonSchema();
  t.equal(json['$schema'], 'https://json-schema.org/draft/2020-12/schema');
  const schema = z.fromJSONSchema(json);
  const example = (): Record<string, Record<string, unknown>> => parse(text);
  t.equal(schema.safeParse(example()).success, true);
  t.equal(schema.safeParse(parse(minimal)).success, true);

  const references = {
    ...example(),
    limits: { inFlight: '${env:A}', headerBytes: '${env:B}' },
    log: { level: '${env:C}' },
  };
  t.equal(schema.safeParse(references).success, true);
  for (const wrong of [
    { ...example(), logg: {} },
    { ...example(), log: { leve: 'info' } },
    { ...example(), log: { level: 'inf' } },
    { ...example(), limits: { inFlight: 0 } },
    { ...example(), shutdown: { minDrain: '5 s' } },
    { ...example(), routes: [{ upstream: 'https://h' }] },
    { ...example(), credentials: { a: { provider: 'file', path: '/a', tokenUrl: 'https://h' } } },
  ]) {
    t.equal(schema.safeParse(wrong).success, false, JSON.stringify(wrong).slice(0, 60));
  }
});

t.test('every setting has a line of doc', async (t) => {
  for (const { path, doc } of listSettings()) t.match(doc, /\.$/, path);
});
