// The one place where an error becomes a line on standard error. What is not in our catalogue is told as
// internal_error, without its message: foreign text may hold secrets.
import { faultFrames, faultKind, rootSystemCode } from '../errors/fault.ts';
import { type SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';

/** `sidebearer: CODE: message (where). next`, and the exit code of the row. */
export function tellFailure(thrown: unknown): { text: string; exit: number } {
  const error = toSidebearerError(thrown);
  const text = `sidebearer: ${error.code}: ${error.message}${describeDetails(error)}. ${error.next}`;
  const frames = error.code === 'internal_error' ? describeUnknown(thrown) : '';
  return { text: frames === '' ? text : `${text}\n${frames}`, exit: error.row.exit ?? 1 };
}

function describeDetails({ details }: SidebearerError): string {
  const { address, setting, holder, path, credential, systemCode: system } = details;
  const parts = [
    address,
    path,
    setting === undefined ? undefined : `setting ${setting}`,
    holder === undefined ? undefined : `held by ${holder}`,
    credential === undefined ? undefined : `credential ${credential}`,
    system,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

/** Class, system code and stack frames: where it happened, and nothing of what was at hand there. */
function describeUnknown(thrown: unknown): string {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
  const kind = [faultKind(cause), rootSystemCode(cause)].filter((part) => part !== undefined).join(' ');
  const frames = (faultFrames(cause) ?? []).map((frame) => `    ${frame}`);
  return [...(kind === '' ? [] : [`  ${kind}`]), ...frames].join('\n');
}
