// The logins that this process is finishing, or has finished lately: so that one can be cancelled while its code is
// being exchanged, and its end be told to whoever started it. It holds no token, no code and no state.
import type { Clock } from '../clock.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { PendingLogin } from './pending-login.ts';

/** What of a pending login is kept beyond its end. */
export type LoginFacts = Pick<PendingLogin, 'credential' | 'cookieHash' | 'expiresAtMs'>;

/** How a login is, for whoever started it. */
export type LoginProgress =
  | { readonly status: 'pending' | 'succeeded' }
  | { readonly status: 'failed'; readonly code: ErrorCode };

/** More than can be pending for several credentials; ends are forgotten above it, the oldest first. */
const MOST_TASKS = 256;
/** How long an end is told after the login would have run out, ms. */
const MEMORY_MS = 30 * 60_000;

/** One login at work. Parallel callbacks share it, until the store has said whose it is. */
export class LoginTask {
  readonly facts: LoginFacts;
  #takers = 0;
  #isTaken = false;
  #storing: Promise<void> | undefined;
  #endStoring: () => void = () => undefined;
  #progress: LoginProgress = { status: 'pending' };

  constructor(facts: LoginFacts) {
    this.facts = facts;
  }

  get progress(): LoginProgress {
    return this.#progress;
  }

  /** Somebody is about to take it from the store. */
  join(): void {
    this.#takers += 1;
  }

  /** The store has it no longer, and nobody else will finish it. @throws login_cancelled */
  taken(): void {
    this.#isTaken = true;
    this.#assertWanted();
  }

  /** @returns whether nobody here is at it any more */
  notTaken(): boolean {
    this.#takers -= 1;
    return this.#takers === 0 && !this.#isTaken && this.#progress.status === 'pending';
  }

  /** Its tokens are there. From now on it is too late to cancel. @throws login_cancelled */
  beginStoring(): void {
    this.#assertWanted();
    this.#storing = new Promise((resolve) => {
      this.#endStoring = resolve;
    });
  }

  end(how: LoginProgress): void {
    if (this.#progress.status === 'pending') this.#progress = how;
    this.#endStoring();
  }

  /** @returns whether it was in time; where its tokens are being stored, once that has ended */
  async cancel(): Promise<boolean> {
    await this.#storing;
    if (this.#progress.status === 'pending') this.#progress = { status: 'failed', code: 'login_cancelled' };
    return this.#progress.status === 'failed';
  }

  #assertWanted(): void {
    if (this.#progress.status !== 'failed') return;
    throw new SidebearerError(this.#progress.code, { credential: this.facts.credential });
  }
}

export interface LoginWork {
  /** The task of this login; the one at work where there is one. */
  open(id: string, facts: LoginFacts): LoginTask;
  find(id: string): LoginTask | undefined;
  forget(id: string): void;
}

export function createLoginWork(clock: Clock): LoginWork {
  const tasks = new Map<string, LoginTask>();

  function forgetOld(): void {
    for (const [id, { facts, progress }] of tasks) {
      const isOld = facts.expiresAtMs + MEMORY_MS <= clock.wallMs();
      if (progress.status !== 'pending' && (isOld || tasks.size >= MOST_TASKS)) tasks.delete(id);
    }
  }

  return {
    open(id, { credential, cookieHash, expiresAtMs }) {
      const known = tasks.get(id);
      if (known !== undefined) return known;
      forgetOld();
      const task = new LoginTask({ credential, cookieHash, expiresAtMs });
      tasks.set(id, task);
      return task;
    },
    find: (id) => tasks.get(id),
    forget: (id) => void tasks.delete(id),
  };
}
