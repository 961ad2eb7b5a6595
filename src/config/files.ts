// The files that a configuration names by path and that are read beside it: certificates and keys. What `${file:…}`
// names is met while references are resolved.
import type { Config } from './schema.ts';

export function tlsFilesOf({ listen, routes, credentials, store }: Config): string[] {
  const paths = new Set<string>();
  const add = (files: Readonly<Record<string, unknown>>): void => {
    for (const name of ['ca', 'cert', 'key']) if (typeof files[name] === 'string') paths.add(files[name]);
  };
  add(listen.tls);
  add(listen.clients);
  add(store.tls);
  for (const { tls } of routes) add(tls);
  for (const credential of Object.values(credentials)) if ('tls' in credential) add(credential.tls);
  return [...paths];
}
