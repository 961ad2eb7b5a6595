// Remembers which logins this process has started and not seen again, and tells when one ran out. One timer, to the
// earliest. A login that another replica finished is no loss: the store is asked before it is reported.
import type { Clock, Timer } from '../clock.ts';

export interface LoginDeadlines {
  begin(id: string, credential: string, expiresAtMs: number): void;
  /** It came back, here. */
  end(id: string): void;
  close(): void;
}

/**
 * @param wasFinished asked when a login ran out: whether somebody else finished it
 * @param expired told when nobody did
 */
export function createLoginDeadlines(
  clock: Clock,
  wasFinished: (id: string) => Promise<boolean>,
  expired: (credential: string) => void,
): LoginDeadlines {
  // In order of their start, and so of their end: all live equally long.
  const waiting = new Map<string, { readonly credential: string; readonly dueMs: number }>();
  let timer: Timer | undefined;

  const arm = (): void => {
    timer?.cancel();
    timer = undefined;
    const [first] = waiting.values();
    if (first === undefined) return;
    timer = clock.after(first.dueMs - clock.monotonicMs(), fire, { background: true });
  };
  const fire = (): void => {
    for (const [id, { credential, dueMs }] of waiting) {
      if (dueMs > clock.monotonicMs()) break;
      waiting.delete(id);
      // A store that does not answer cannot say that it was finished.
      void wasFinished(id)
        .catch(() => false)
        .then((finished) => (finished ? undefined : expired(credential)));
    }
    arm();
  };

  return {
    begin(id, credential, expiresAtMs) {
      waiting.set(id, { credential, dueMs: clock.monotonicMs() + (expiresAtMs - clock.wallMs()) });
      if (timer === undefined) arm();
    },
    end(id) {
      if (waiting.delete(id)) arm();
    },
    close() {
      waiting.clear();
      arm();
    },
  };
}
