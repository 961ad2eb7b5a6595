// The settings of TLS towards one side, the same wherever they stand. The files are read at the start, not here.
import { group, optional } from './setting.ts';
import { line } from './value-kinds.ts';

const pem = (doc: string) => optional(line('the path of a PEM file'), doc);

/** `ca`, `cert` and `key`. @param side whom it is spoken with, for the docs */
export function tlsFiles(side: string) {
  return group(tlsShape(side), `TLS to ${side}.`);
}

export function tlsShape(side: string) {
  return {
    ca: pem(`Authorities, in PEM, by which ${side} is trusted, besides those that Node trusts.`),
    cert: pem(`Our certificate with its chain, in PEM, shown to ${side}.`),
    key: pem('The key of that certificate, in PEM, unencrypted.'),
  };
}
