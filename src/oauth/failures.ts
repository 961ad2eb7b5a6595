// Turns a failure into its answer: a page for a person, problem+json for a program, with the row's honest status.
import type { ManagedCredential } from '../credentials/bearer.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import { type Answer, pageAnswer, problemAnswer, withHeaders } from './answer.ts';
import type { Logins } from './logins.ts';
import { type FailureView, failurePage } from './pages/failure-page.ts';
import type { Texts } from './texts/english.ts';

export interface FailureContext {
  readonly texts: Texts;
  readonly wantsJson: boolean;
  readonly credential?: string;
  readonly description?: string;
}

export type Failures = (error: SidebearerError, context: FailureContext) => Answer;

export function createFailures(
  version: string,
  credentials: ReadonlyMap<string, ManagedCredential>,
  logins: Logins,
): Failures {
  return (error, { texts, wantsJson, credential: name, description }) => {
    const credential = name === undefined ? undefined : credentials.get(name);
    const origin = credential === undefined ? undefined : logins.knownOrigin(credential.name);
    const { retryAfterMs } = error.details;
    const retryAfter =
      retryAfterMs === undefined ? {} : { 'retry-after': `${Math.max(1, Math.ceil(retryAfterMs / 1000))}` };
    if (wantsJson) return withHeaders(problemAnswer(error), retryAfter);
    const again = againBy(texts, error, credential, origin);
    const view = { texts, version, error, credential: credential?.name, description, again };
    const page = failurePage(view);
    return withHeaders(
      pageAnswer(error.row.status, page, origin === undefined ? {} : { formTargets: [origin] }),
      retryAfter,
    );
  };
}

function againBy(
  texts: Texts,
  error: SidebearerError,
  credential: ManagedCredential | undefined,
  origin: string | undefined,
): FailureView['again'] {
  const { layer } = error.row;
  if (credential?.login === undefined) {
    // Only a login that failed is tried again; a strange page or Host is not.
    return layer === 'callback' ? { href: '/oauth/start' } : undefined;
  }
  // A provider that could not be reached is asked again by the start page, which tells how it went; and a form may
  // lead only to an origin that the policy of this page can name.
  if (layer === 'authorize' || origin === undefined) {
    return { href: `/oauth/start?credential=${encodeURIComponent(credential.name)}` };
  }
  const { account } = credential.status();
  const asksToReplace = account !== undefined || error.code === 'account_differs';
  return { form: { credential: credential.name, label: texts.failure.again, asksToReplace, account, isMoved: true } };
}
