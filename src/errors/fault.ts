// Where and of what kind a foreign error is, without a word of what it says: its message, its properties and its
// cause may hold tokens. Only what has the shape of a class, a system code or a stack frame is let through.
import { systemCode } from './sidebearer-error.ts';

/** How deep chains of causes are followed; they may be circular. */
const MAX_CAUSES = 8;
const MAX_FRAMES = 10;

/** The system code of an error or of the first of its causes that has one. */
export function rootSystemCode(thrown: unknown): string | undefined {
  let current = thrown;
  for (let depth = 0; depth < MAX_CAUSES && current !== undefined && current !== null; depth += 1) {
    const code = systemCode(current);
    // `code` of a foreign object may be anything, an authorization code included.
    if (
      code !== undefined &&
      /^(?:E[A-Z0-9]{2,20}|ERR_[A-Z0-9_]{1,60}|UND_ERR_[A-Z0-9_]{1,40}|[A-Z]+(?:_[A-Z]+){1,8})$/.test(code)
    ) {
      return code;
    }
    current = current instanceof Error ? current.cause : undefined;
  }
  return undefined;
}

/** The name of its class. */
export function faultKind(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const { name } = thrown.constructor;
  return /^[A-Za-z]{1,40}$/.test(name) ? name : undefined;
}

/** The places of the stack alone. Where the message cannot be told from them there are none. */
export function faultFrames(thrown: unknown): readonly string[] | undefined {
  if (!(thrown instanceof Error) || typeof thrown.stack !== 'string') return undefined;
  const head = thrown.stack.indexOf(thrown.message);
  if (head < 0) return undefined;
  return thrown.stack
    .slice(head + thrown.message.length)
    .split('\n')
    .filter((line) => /^ {4}at [^?]*:\d+:\d+\)?$/.test(line))
    .slice(0, MAX_FRAMES)
    .map((line) => line.trim());
}
