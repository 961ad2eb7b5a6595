// On a laptop another program may hold port 1455: a Codex CLI that is logging in, a second sidecar. OpenAI has a second
// port registered for that, so listener and redirect URI move to it together. In a pod nothing moves: there the port is
// part of a service, a probe, a port-forward.
import { createServer } from 'node:net';
import type { Config, CredentialConfig } from '../config/schema.ts';
import { systemCode } from '../errors/sidebearer-error.ts';
import { findHolder } from '../listen.ts';

export interface Moved {
  readonly config: Config;
  readonly from: number;
  readonly to: number;
  /** What holds the port, where that can be told. */
  readonly holder: string | undefined;
}

/** Those that are registered for the client of the Codex CLI. */
export const registeredPorts = [1455, 1457] as const;

/** Undefined where the configuration stays as it is: the port is free, or may not move, or the other is busy as well. */
export async function moveToFallback(
  config: Config,
  env: Readonly<Record<string, string | undefined>>,
  [from, to]: readonly [number, number] = registeredPorts,
): Promise<Moved | undefined> {
  const { oauth } = config.listen;
  if (env['KUBERNETES_SERVICE_HOST'] !== undefined || oauth === 'off' || 'path' in oauth || oauth.port !== from) {
    return undefined;
  }
  for (const credential of Object.values(config.credentials)) {
    if (!('redirectUri' in credential) || new URL(credential.redirectUri).port !== String(from)) continue;
    // Another provider knows nothing of the second port.
    if (credential.provider !== 'codex' || credential.redirectUri !== redirectUriAt(from)) return undefined;
  }
  if (!(await isBusy(oauth.host, from)) || (await isBusy(oauth.host, to))) return undefined;
  return { config: withPort(config, from, to), from, to, holder: await findHolder(oauth) };
}

/** The same with listener and redirect URIs at `to`, where they are at `from`. */
export function withPort(config: Config, from: number, to: number): Config {
  const { oauth } = config.listen;
  if (oauth === 'off' || 'path' in oauth || oauth.port !== from) return config;
  const credentials: Record<string, CredentialConfig> = {};
  for (const [name, credential] of Object.entries(config.credentials)) {
    const moves = credential.provider === 'codex' && credential.redirectUri === redirectUriAt(from);
    credentials[name] = moves ? { ...credential, redirectUri: redirectUriAt(to) } : credential;
  }
  return { ...config, listen: { ...config.listen, oauth: { ...oauth, port: to } }, credentials };
}

function redirectUriAt(port: number): string {
  return `http://localhost:${port}/auth/callback`;
}

function isBusy(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    // What else is wrong with the port the listener will tell.
    server.once('error', (error) => resolve(systemCode(error) === 'EADDRINUSE'));
    server.listen(port, host, () => server.close(() => resolve(false)));
  });
}
