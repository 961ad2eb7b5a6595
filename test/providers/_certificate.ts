// Certificates made on the spot, self-signed or of an authority of the test's own: nothing to expire in the repository.
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** What a certificate of an authority says. */
export interface Claims {
  /** DNS names in the subject alternative name. */
  readonly names?: readonly string[];
  /** IPv4 addresses in it. */
  readonly addresses?: readonly string[];
  /** `YYYYMMDDHHMMSSZ`. */
  readonly from?: string;
  readonly until?: string;
}

export interface Authority {
  /** Its own certificate. */
  readonly cert: string;
  issue(claims: Claims): Certificate;
}

/** @param address IPv4 in the subject alternative name */
export function createCertificate(address = '127.0.0.1'): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const cert = encode(
    { subject: 'test', issuer: 'test', serial: 1, publicKey, claims: { addresses: [address] } },
    privateKey,
  );
  return { key: pemOf(privateKey), cert };
}

/** An authority that exists nowhere else: nothing trusts it unless told so. */
export function createAuthority(name = 'test authority'): Authority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  let serial = 1;
  const cert = encode({ subject: name, issuer: name, serial, publicKey, isAuthority: true, claims: {} }, privateKey);
  return {
    cert,
    issue(claims) {
      const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      serial += 1;
      const issued = encode({ subject: 'test', issuer: name, serial, publicKey: own.publicKey, claims }, privateKey);
      return { key: pemOf(own.privateKey), cert: issued };
    },
  };
}

interface Content {
  readonly subject: string;
  readonly issuer: string;
  readonly serial: number;
  readonly publicKey: KeyObject;
  readonly isAuthority?: boolean;
  readonly claims: Claims;
}

/** X.509 v3 in PEM (RFC 5280). */
function encode({ subject, issuer, serial, publicKey, isAuthority, claims }: Content, signingKey: KeyObject): string {
  const { names = [], addresses = [], from = '20000101000000Z', until = '20991231235959Z' } = claims;
  const algorithm = sequence(oid('2a8648ce3d040302'));
  const nameOf = (text: string): Buffer => sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(text)))));
  const time = (text: string): Buffer => der(0x18, Buffer.from(text));
  const alternatives = [
    ...names.map((name) => der(0x82, Buffer.from(name))),
    ...addresses.map((address) => der(0x87, Buffer.from(address.split('.').map(Number)))),
  ];
  const extensions: Buffer[] = [];
  const yes = Buffer.from('0101ff', 'hex');
  if (alternatives.length > 0) extensions.push(sequence(oid('551d11'), der(0x04, sequence(...alternatives))));
  if (isAuthority === true) extensions.push(sequence(oid('551d13'), yes, der(0x04, sequence(yes))));
  const body = sequence(
    der(0xa0, integer(2)),
    integer(serial),
    algorithm,
    nameOf(issuer),
    sequence(time(from), time(until)),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', body, signingKey);
  const certificate = sequence(body, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = certificate.toString('base64').replace(/.{64}/g, '$&\n');
  const label = 'CERTIFICATE';
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function der(tag: number, content: Buffer): Buffer {
  const size = content.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

function integer(value: number): Buffer {
  return der(0x02, Buffer.from([value]));
}
