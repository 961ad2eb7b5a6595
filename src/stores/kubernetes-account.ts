// How a pod speaks to its API server: the address from the environment, the token and the authority from the folder that
// kubelet keeps up to date. Tokens rotate on disk (hourly by default), so they are read again, never kept for long.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';

/** Where kubelet mounts a service account. */
export const accountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface ServiceAccount {
  /** @throws store_unavailable */
  token(): Promise<string>;
  /** The server did not accept the token: the next one is read from disk. */
  distrust(): void;
  /** The authority of the API server, PEM. @throws store_unavailable */
  authority(): Promise<string>;
  /** Of the pod. @throws store_unavailable */
  namespace(): Promise<string>;
}

/** kubelet replaces a token when a fifth of its life is left; a minute is far below that. */
const TOKEN_LIFE_MS = 60_000;

/** @param folder with `token`, `ca.crt` and `namespace` */
export function openServiceAccount(folder: string, clock: Clock): ServiceAccount {
  let known: { readonly token: string; readonly untilMs: number } | undefined;

  const read = async (name: string): Promise<string> => {
    const path = join(folder, name);
    try {
      const text = (await readFile(path, 'utf8')).trim();
      if (text !== '') return text;
      throw new SidebearerError('store_unavailable', { path, reason: 'the file of the service account is empty' });
    } catch (thrown) {
      if (thrown instanceof SidebearerError) throw thrown;
      const code = systemCode(thrown);
      throw new SidebearerError('store_unavailable', {
        path,
        reason: 'the service account of the pod cannot be read',
        next: 'Mount a service account token into this container (the chart does), or correct store.serviceAccount.',
        ...(code !== undefined && { systemCode: code }),
      });
    }
  };

  return {
    async token() {
      const nowMs = clock.monotonicMs();
      if (known === undefined || nowMs >= known.untilMs) {
        known = { token: await read('token'), untilMs: nowMs + TOKEN_LIFE_MS };
      }
      return known.token;
    },
    distrust() {
      known = undefined;
    },
    authority: () => read('ca.crt'),
    namespace: () => read('namespace'),
  };
}

/**
 * `https://host:port` of the API server, as kubelet tells every container.
 * @throws store_path_invalid: this is no pod
 */
export function apiServerUrl(env: Readonly<Record<string, string | undefined>>): string {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT_HTTPS'] ?? env['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (host === undefined || host === '') {
    throw new SidebearerError('store_path_invalid', {
      reason: 'KUBERNETES_SERVICE_HOST is not set, so this is not a pod',
      next: 'Use store.kind file or redis outside of Kubernetes.',
    });
  }
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
