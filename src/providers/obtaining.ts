// What the grants that obtain a token with another one are configured with, the same for every provider that has them.
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { OAuthProviderOptions } from './oauth-provider.ts';
import type { Grant } from './provider.ts';
import { createSubjectToken } from './subject-token.ts';

export interface ObtainOptions {
  /** Needed for token_exchange and jwt_bearer: the file that holds the token to exchange. */
  readonly subjectTokenFile?: string | undefined;
  /** Of token_exchange; default: a JWT. */
  readonly subjectTokenType?: string | undefined;
  /** Of token_exchange; default: the provider's choice. */
  readonly requestedTokenType?: string | undefined;
}

type ObtainingParts = Pick<OAuthProviderOptions, 'subject' | 'subjectTokenType' | 'requestedTokenType'>;

/** @throws config_value_missing */
export function obtainingParts(
  { grant, subjectTokenFile, subjectTokenType, requestedTokenType }: ObtainOptions & { grant?: Grant | undefined },
  clock: Clock,
): ObtainingParts {
  if (grant !== 'token_exchange' && grant !== 'jwt_bearer') return {};
  if (subjectTokenFile === undefined || subjectTokenFile === '') {
    throw new SidebearerError('config_value_missing', { setting: 'subjectTokenFile' });
  }
  return { subject: createSubjectToken({ path: subjectTokenFile, clock }), subjectTokenType, requestedTokenType };
}
