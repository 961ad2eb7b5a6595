// `sidebearer run`: loads the configuration, tells every mistake in it, and otherwise serves until SIGTERM or SIGINT.
// Meanwhile it follows the files of the configuration, and SIGHUP asks for a look at them.

import { systemClock } from '../clock.ts';
import { formatMistake, formatWarning, type Warning } from '../config/mistake.ts';
import { createReloader, readConfig } from '../config/reloader.ts';
import type { Config } from '../config/schema.ts';
import type { Invocation } from './command.ts';
import { openConfig } from './configuration.ts';
import { moveToFallback, withPort } from './fallback-port.ts';
import { buildInfo } from './version.ts';

export async function run(invocation: Invocation): Promise<number> {
  const source = await openConfig(invocation);
  const { loaded, files } = readConfig(source);
  if (!loaded.ok) {
    for (const mistake of loaded.mistakes) invocation.err(formatMistake(mistake));
    return 1;
  }
  // Loaded only now: a mistake is told without the proxy's libraries.
  const { startSidecar } = await import('../sidecar.ts');
  const ended = waitForSignal();
  const hangUps = waitForHangUps();
  const moved = await moveToFallback(loaded.config, invocation.env);
  const config = moved?.config ?? loaded.config;
  const sidecar = await startSidecar(config, {
    version: buildInfo().version,
    podName: podName(invocation.env),
  });
  const warn = (warning: Warning): void => sidecar.logger.warn({ setting: warning.path }, formatWarning(warning));
  for (const warning of loaded.warnings) warn(warning);
  if (moved !== undefined) {
    const { from, to, holder } = moved;
    const by = holder === undefined ? '' : ` by ${holder}`;
    sidecar.logger.warn({ event: 'oauth_port_moved', from, to }, `Port ${from} is held${by}: logins use ${to} instead`);
  }
  const reloader = createReloader({
    source,
    config,
    files,
    adjust: (next: Config) => (moved === undefined ? next : withPort(next, moved.from, moved.to)),
    apply: sidecar.reload,
    observer: sidecar.reloads,
    warn,
    clock: systemClock,
  });
  hangUps.deliver(reloader.request);
  await ended;
  await Promise.all([reloader.close(), sidecar.stop()]);
  return 0;
}

/** In a pod the host's name is the pod's. */
function podName(env: Invocation['env']): string | undefined {
  return env['KUBERNETES_SERVICE_HOST'] === undefined ? undefined : env['HOSTNAME'];
}

/** From now on SIGHUP no longer ends the process; one that comes early is kept. */
function waitForHangUps(): { deliver(call: () => void): void } {
  let request: (() => void) | undefined;
  let isEarly = false;
  process.on('SIGHUP', () => {
    isEarly = true;
    request?.();
  });
  return {
    deliver(call) {
      request = call;
      if (isEarly) call();
    },
  };
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
