// What a callback with `error` means (RFC 6749, section 4.1.2.1; OpenID Connect Core, section 3.1.2.6).
// The provider's description is read for one known word and never shown.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { cleanProviderCode } from './rejection.ts';

/** authorize_denied or authorize_failed where the parameters hold an `error`, else undefined. Never throws. */
export function authorizeError(parameters: URLSearchParams): SidebearerError | undefined {
  const error = parameters.get('error');
  if (error === null) return undefined;
  const secrets = [...parameters.getAll('state'), ...parameters.getAll('code')];
  const providerCode = cleanProviderCode(error, secrets);
  const details = providerCode === undefined ? {} : { providerCode };
  if (error !== 'access_denied') return new SidebearerError('authorize_failed', details);
  const isUnentitled = parameters.get('error_description')?.includes('missing_codex_entitlement') === true;
  const reason = 'Codex is not enabled for this workspace; an administrator of the workspace must enable it';
  return new SidebearerError('authorize_denied', isUnentitled ? { ...details, reason } : details);
}
