// A `login` that runs inside the test, on a terminal that the test plays, against a real OAuth listener.
import type { Invocation } from '../../src/cli/command.ts';
import { tellFailure } from '../../src/cli/failure.ts';
import { logIn } from '../../src/cli/login.ts';
import type { LoginParts } from '../../src/cli/login-run.ts';
import { createFakeClock, type FakeClock } from '../_fake-clock.ts';

export interface LoginOptions {
  readonly url: string;
  readonly flags?: Readonly<Record<string, string>>;
  readonly operand?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Answers of whoever sits there; undefined: nobody does. */
  readonly prompt?: Invocation['prompt'];
  /** Undefined: there is no browser. */
  readonly open?: (address: string) => boolean;
}

export interface RunningLogin {
  /** The exit code, a failure's included. */
  readonly ended: Promise<number>;
  readonly out: string[];
  readonly err: string[];
  readonly clock: FakeClock;
  interrupt(): void;
  /** Lets time pass until it is true. */
  until(what: string, isSo: () => unknown): Promise<void>;
}

export function startLogin({ url, flags = {}, operand, env = {}, prompt, open }: LoginOptions): RunningLogin {
  const [out, err]: [string[], string[]] = [[], []];
  const clock = createFakeClock();
  const stop = new AbortController();
  const parts: LoginParts = {
    clock,
    launcher: open === undefined ? undefined : ['a-browser'],
    openBrowser: async (_launcher, address) => open?.(address) ?? false,
    onInterrupt: () => ({ signal: stop.signal, release: () => undefined }),
  };
  const invocation: Invocation = {
    flags: new Map(Object.entries({ url, ...flags }).map(([name, value]) => [name, { value, source: `--${name}` }])),
    operand,
    env,
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    readStdin: async () => Buffer.alloc(0),
    prompt: prompt ?? (async () => undefined),
  };
  let isOver = false;
  const ended = logIn(invocation, parts)
    .catch((thrown: unknown) => {
      const { text, exit } = tellFailure(thrown);
      err.push(text);
      return exit;
    })
    .finally(() => {
      isOver = true;
    });
  const until = async (what: string, isSo: () => unknown): Promise<void> => {
    for (let turns = 0; !isSo(); turns += 1) {
      if (turns > 2_000) throw new Error(`it never was so: ${what}\n${err.join('\n')}`);
      await clock.advance(100);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  return {
    out,
    err,
    clock,
    interrupt: () => stop.abort(),
    until,
    ended: (async () => {
      await until('the end', () => isOver);
      return await ended;
    })(),
  };
}
