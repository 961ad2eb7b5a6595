// Where the browser is, against where the provider will send it back to. A login begun elsewhere would lose its
// cookie (127.0.0.1 and localhost do not share any) or arrive at a port that nobody forwards: told before it begins.
import { type Host, isLoopbackName } from './host.ts';

export interface Place {
  /** Origin under which the login must be started, where it is another than the browser's. */
  readonly moveTo: string | undefined;
  /** The registered name, where the browser uses another. */
  readonly registeredName: string | undefined;
  /** The registered port, where the browser uses another; of loopback only, elsewhere a proxy may stand between. */
  readonly registeredPort: number | undefined;
}

export function comparePlace(host: Host, redirectUri: string): Place {
  const registered = new URL(redirectUri);
  const isLoopback = isLoopbackName(registered.hostname);
  const port = Number(registered.port) || (registered.protocol === 'https:' ? 443 : 80);
  // The port stays as the browser has it: what is forwarded there is known to work.
  const origin = isLoopback ? `${registered.protocol}//${registered.hostname}:${host.port}` : registered.origin;
  const isElsewhere = host.name !== registered.hostname;
  return {
    moveTo: isElsewhere ? origin : undefined,
    registeredName: isElsewhere ? registered.hostname : undefined,
    registeredPort: isLoopback && host.port !== port ? port : undefined,
  };
}
