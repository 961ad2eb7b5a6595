// What tells the running program to end: SIGTERM, SIGINT, or POST /quitquitquit. The first order begins the end; a
// second signal cuts what is still served, and never a refresh that was sent; a third ends the process as it would
// without us.
import type { Sidecar } from '../sidecar.ts';

type StopCause = Parameters<Sidecar['stop']>[0];

export interface StopOrders {
  readonly given: Promise<StopCause>;
  /** Aborted with the first order. */
  readonly stopping: AbortSignal;
  /** Aborted with the second signal. */
  readonly hurry: AbortSignal;
  /** The order that comes by a request. */
  readonly quit: () => void;
}

const signals = ['SIGTERM', 'SIGINT'] as const;

export function listenForOrders(): StopOrders {
  const given = Promise.withResolvers<StopCause>();
  const stopping = new AbortController();
  const hurry = new AbortController();
  let received = 0;
  const order = (cause: StopCause): void => {
    given.resolve(cause);
    stopping.abort();
  };
  const receive = (signal: NodeJS.Signals): void => {
    received += 1;
    order(signal === 'SIGINT' ? 'SIGINT' : 'SIGTERM');
    if (received < 2) return;
    for (const each of signals) process.off(each, receive);
    hurry.abort();
  };
  for (const each of signals) process.on(each, receive);
  return { given: given.promise, stopping: stopping.signal, hurry: hurry.signal, quit: () => order('quit') };
}
