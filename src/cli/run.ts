// `sidebearer run`: loads the configuration, tells every mistake in it, and otherwise serves until SIGTERM or SIGINT.
import { loadConfig } from '../config/load.ts';
import { formatMistake, formatWarning } from '../config/mistake.ts';
import type { Invocation } from './command.ts';
import { openConfig } from './configuration.ts';
import { moveToFallback } from './fallback-port.ts';
import { buildInfo } from './version.ts';

export async function run(invocation: Invocation): Promise<number> {
  const loaded = loadConfig(await openConfig(invocation));
  if (!loaded.ok) {
    for (const mistake of loaded.mistakes) invocation.err(formatMistake(mistake));
    return 1;
  }
  // Loaded only now: a mistake is told without the proxy's libraries.
  const { startSidecar } = await import('../sidecar.ts');
  const ended = waitForSignal();
  const moved = await moveToFallback(loaded.config, invocation.env);
  const sidecar = await startSidecar(moved?.config ?? loaded.config, {
    version: buildInfo().version,
    podName: podName(invocation.env),
  });
  for (const warning of loaded.warnings) sidecar.logger.warn({ setting: warning.path }, formatWarning(warning));
  if (moved !== undefined) {
    const { from, to, holder } = moved;
    const by = holder === undefined ? '' : ` by ${holder}`;
    sidecar.logger.warn({ event: 'oauth_port_moved', from, to }, `Port ${from} is held${by}: logins use ${to} instead`);
  }
  await ended;
  await sidecar.stop();
  return 0;
}

/** In a pod the host's name is the pod's. */
function podName(env: Invocation['env']): string | undefined {
  return env['KUBERNETES_SERVICE_HOST'] === undefined ? undefined : env['HOSTNAME'];
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process as it would without us. */
function waitForSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off('SIGTERM', stop);
      process.off('SIGINT', stop);
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}
