// The one error class. It carries a row's code, the cause, and details that are safe to show.
// It never carries a token, a code, a verifier, a secret or a provider's raw answer: details are an allow-list.
import { catalogue, type ErrorCode, type ErrorRow } from './catalogue.ts';

/** What may be told about a failure besides its row. All of it may reach logs, pages and answers. */
export interface ErrorDetails {
  /** The credential's configured name. */
  credential?: string;
  /** The provider's own code (`error`), visible ASCII, at most 100 characters. */
  providerCode?: string;
  /** HTTP status of a provider or an upstream. */
  status?: number;
  /** How long to hold back, from the provider's `Retry-After`, ms. */
  retryAfterMs?: number;
  /** The system's error code (`ECONNREFUSED`). */
  systemCode?: string;
  /** A host and port, a file path, a setting's name, a process: things an operator configured. */
  address?: string;
  setting?: string;
  path?: string;
  holder?: string;
  /** Line and column in the configuration file, from 1. */
  line?: number;
  column?: number;
  /** A sentence of our own that narrows the row's message down. Never foreign text. */
  reason?: string;
  /** The next step, where the configuration makes it another than the row's. */
  next?: string;
}

/** A failure with its row. Branch on `code`, never on the class or the text. */
export class SidebearerError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<ErrorDetails>;

  constructor(code: ErrorCode, details: ErrorDetails = {}, cause?: unknown) {
    const message = catalogue[code].message;
    super(
      details.reason === undefined ? message : `${message}: ${details.reason}`,
      cause === undefined ? {} : { cause },
    );
    this.name = 'SidebearerError';
    this.code = code;
    this.details = details;
  }

  get row(): ErrorRow {
    return catalogue[this.code];
  }

  /** The next step to take, for a person. */
  get next(): string {
    return this.details.next ?? this.row.next;
  }
}

/** The error as it is, or `internal_error` around whatever else was thrown. */
export function toSidebearerError(thrown: unknown): SidebearerError {
  return thrown instanceof SidebearerError ? thrown : new SidebearerError('internal_error', {}, thrown);
}

/** Node's `code` of a system or library error (`ECONNREFUSED`, `UND_ERR_SOCKET`), else undefined. */
export function systemCode(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
