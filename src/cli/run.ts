// `sidebearer run`: loads the configuration, tells every mistake in it, and otherwise serves until it is told to end.
// Meanwhile it follows the files of the configuration, and SIGHUP asks for a look at them.

import { systemClock } from '../clock.ts';
import { formatMistake, formatWarning, type Warning } from '../config/mistake.ts';
import { createReloader, readConfig } from '../config/reloader.ts';
import type { Config } from '../config/schema.ts';
import { toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import { openConfig } from './configuration.ts';
import { moveToFallback, withPort } from './fallback-port.ts';
import { listenForOrders } from './stop-orders.ts';
import { buildInfo } from './version.ts';

export async function run(invocation: Invocation): Promise<number> {
  // First of all: to process 1 of a container the kernel delivers no signal that it has no handler for.
  const orders = listenForOrders();
  const source = await openConfig(invocation);
  const { loaded, files } = readConfig(source);
  if (!loaded.ok) {
    for (const mistake of loaded.mistakes) invocation.err(formatMistake(mistake));
    return 1;
  }
  // Loaded only now: a mistake is told without the proxy's libraries.
  const { startSidecar } = await import('../sidecar.ts');
  const hangUps = waitForHangUps();
  const moved = await moveToFallback(loaded.config, invocation.env);
  const config = moved?.config ?? loaded.config;
  const sidecar = await startSidecar(config, {
    version: buildInfo().version,
    podName: podName(invocation.env),
    quit: orders.quit,
    stopping: orders.stopping,
  }).catch((thrown: unknown) => {
    if (toSidebearerError(thrown).code !== 'sidecar_stopping') throw thrown;
  });
  if (sidecar === undefined) return 0;
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
  const cause = await orders.given;
  await Promise.all([reloader.close(), sidecar.stop(cause, orders.hurry)]);
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
