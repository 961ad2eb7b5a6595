// What a call to the API server was about, and which code a failure of it has. It never repeats what an object holds.
import { type ErrorDetails, SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { Resource } from './kubernetes-api.ts';

export interface About {
  readonly verb: string;
  readonly resource: Resource;
  readonly name: string;
}

export function words({ verb, resource, name }: About): string {
  return `${verb} ${resource.kind} ${name}`;
}

export function unavailable(about: About, details: ErrorDetails): SidebearerError {
  return new SidebearerError('store_unavailable', { reason: words(about), ...details });
}

/** Without a cause: what undici's parser throws holds bytes of the answer. */
export function unreachable(about: About, url: string, thrown: unknown): SidebearerError {
  const code = systemCode(thrown);
  const { host: address } = new URL(url);
  return unavailable(about, { address, ...(code !== undefined && { systemCode: code }) });
}

/** An answer that neither time nor another version makes better. */
export function refusal(status: number, about: About): SidebearerError {
  const reason = words(about);
  if (status === 401) {
    const next = 'The service account token is not accepted: check that it is mounted, and that the account exists.';
    return new SidebearerError('store_unavailable', { status, reason, next });
  }
  if (status === 403 || (status === 404 && about.verb === 'create')) {
    return new SidebearerError('store_forbidden', { status, reason });
  }
  const isWrite = about.verb === 'create' || about.verb === 'update';
  return new SidebearerError(isWrite ? 'store_write_failed' : 'store_unavailable', { status, reason });
}
