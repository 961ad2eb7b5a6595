// A failure as fields of a log line: its row, its allow-listed details, the system code at its root.
// Never a foreign message or stack: an HTTP library's may hold a URL with a code in its query.
import { SidebearerError, systemCode, toSidebearerError } from '../errors/sidebearer-error.ts';

/** How deep chains of causes are followed; they may be circular. */
const MAX_CAUSES = 8;
const MAX_FRAMES = 10;

export type FailureFields = Readonly<Record<string, unknown>>;

/** The fields without the message, which is `error.message`. */
export function failureFields(error: SidebearerError): FailureFields {
  const { credential, providerCode, status, retryAfterMs, address, setting, path, holder, line, column } =
    error.details;
  const rootCode = error.details.systemCode ?? rootSystemCode(error.cause);
  const fields = {
    code: error.code,
    layer: error.row.layer,
    next: error.next,
    credential,
    providerCode,
    status,
    retryAfterMs,
    systemCode: rootCode,
    address,
    setting,
    path,
    holder,
    line,
    column,
    // Only a fault of our own is worth its place in the code.
    ...(error.code === 'internal_error' && { ...kindOf(error.cause), frames: frames(error.cause ?? error) }),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Whatever was thrown, as one object: for errors that stand in a field. */
export function describeFailure(thrown: unknown): FailureFields {
  const error = toSidebearerError(thrown);
  return { ...failureFields(error), message: error.message };
}

function rootSystemCode(cause: unknown): string | undefined {
  let current = cause;
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

function kindOf(cause: unknown): { kind?: string } {
  if (cause instanceof SidebearerError || !(cause instanceof Error)) return {};
  const name = cause.constructor.name;
  return /^[A-Za-z]{1,40}$/.test(name) ? { kind: name } : {};
}

/** The places of the stack alone. Where the message cannot be told from them there are none. */
function frames(thrown: unknown): string[] | undefined {
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
