// A failure as fields of a log line: its row, its allow-listed details, the system code at its root.
// Never a foreign message or stack: an HTTP library's may hold a URL with a code in its query.
import { faultFrames, faultKind, rootSystemCode } from '../errors/fault.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';

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
    ...(error.code === 'internal_error' && { kind: kindOf(error.cause), frames: faultFrames(error.cause ?? error) }),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Whatever was thrown, as one object: for errors that stand in a field. */
export function describeFailure(thrown: unknown): FailureFields {
  const error = toSidebearerError(thrown);
  return { ...failureFields(error), message: error.message };
}

function kindOf(cause: unknown): string | undefined {
  return cause instanceof SidebearerError ? undefined : faultKind(cause);
}
