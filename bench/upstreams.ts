// What is proxied to: nginx with small and large answers, the same over TLS, and a live one for streams. Each answers
// 401 to a request without the token, so that a proxy that injects nothing is seen.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { listenOn, nginxCommand } from './nginx.ts';
import { freePort, type RunningProcess, startProcess } from './running-process.ts';

export const TOKEN = 'bench-token-0123456789abcdef0123456789abcdef';
export const SMALL_BYTES = 1024;
export const LARGE_BYTES = 1_048_576;

export const upstreamKinds = ['plain', 'tls', 'live'] as const;
export type UpstreamKind = (typeof upstreamKinds)[number];

export interface Upstream extends RunningProcess {
  readonly kind: UpstreamKind;
  readonly origin: string;
  /** Certificate authority of an upstream with TLS, PEM. */
  readonly caFile?: string;
}

/** The name in the certificate, next to 127.0.0.1: nginx and haproxy check names alone. */
export const TLS_NAME = 'localhost';

export async function startUpstream(kind: UpstreamKind, folder: string, core: number): Promise<Upstream> {
  const port = await freePort();
  const name = `upstream-${kind}`;
  // It is asked in plain text whether it is up: with TLS nginx says 400 to that, which is enough.
  const ready = { url: `http://127.0.0.1:${port}/`, status: kind === 'tls' ? 400 : 401 };
  if (kind === 'live') {
    const command = [process.execPath, join(import.meta.dirname, 'upstreams', 'live.ts'), String(port), TOKEN];
    const started = await startProcess(name, core, { command, ready });
    return { ...started, kind, origin: `http://127.0.0.1:${port}` };
  }
  writeFileSync(join(folder, 'large'), Buffer.alloc(LARGE_BYTES, 'x'), { mode: 0o644 });
  const guard = `if ($http_authorization != "Bearer ${TOKEN}") { return 401; }`;
  const locations = `location / { ${guard} return 200 "${'x'.repeat(SMALL_BYTES)}"; }
    location = /large { ${guard} root ${folder}; sendfile on; }`;
  if (kind === 'plain') {
    const command = nginxCommand(folder, name, `server { ${listenOn(port)} ${locations} }`);
    return { ...(await startProcess(name, core, { command, ready })), kind, origin: `http://127.0.0.1:${port}` };
  }
  const { certificate, key } = await createCertificate(folder);
  const command = nginxCommand(
    folder,
    name,
    `server { ${listenOn(port, 'ssl')} ssl_certificate ${certificate}; ssl_certificate_key ${key};
      ssl_protocols TLSv1.3; ${locations} }`,
  );
  const started = await startProcess(name, core, { command, ready });
  return { ...started, kind, origin: `https://127.0.0.1:${port}`, caFile: certificate };
}

async function createCertificate(folder: string): Promise<{ certificate: string; key: string }> {
  const [certificate, key] = [join(folder, 'upstream.pem'), join(folder, 'upstream.key')];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = ['-subj', `/CN=${TLS_NAME}`, '-addext', `subjectAltName=DNS:${TLS_NAME},IP:127.0.0.1`];
  await promisify(execFile)('openssl', ['req', '-x509', ...curve, ...names, '-keyout', key, '-out', certificate]);
  return { certificate, key };
}
