// The callback: where the provider sends the browser back to. Either path serves any credential; the state decides.
import type { Clock } from '../clock.ts';
import { type Answer, jsonAnswer, pageAnswer, withHeaders } from './answer.ts';
import type { Failures } from './failures.ts';
import type { Logins } from './logins.ts';
import { countdownScript } from './pages/scripts.ts';
import { successPage } from './pages/success-page.ts';
import type { Endpoint } from './visit.ts';

export interface CallbackOptions {
  readonly version: string;
  readonly clock: Clock;
  readonly logins: Logins;
  readonly failures: Failures;
  /** The store, in words. */
  readonly storedIn: string | undefined;
}

export function createCallbackEndpoint(options: CallbackOptions): Endpoint {
  const { version, clock, logins, failures, storedIn } = options;
  return async ({ request, query, visitor, wantsJson, texts }) => {
    const end = await logins.finish(query, request.headers.cookie, visitor);
    let answer: Answer;
    if (end.outcome === 'failed') {
      const { error, credential, description } = end;
      answer = failures(error, {
        texts,
        wantsJson,
        ...(credential === undefined ? {} : { credential }),
        ...(description === undefined ? {} : { description }),
      });
    } else {
      const { warnings } = end;
      const status = end.credential.status();
      answer = wantsJson
        ? jsonAnswer(200, { credential: status, warnings })
        : pageAnswer(200, successPage({ texts, version, nowMs: clock.wallMs(), status, storedIn, warnings }), {
            script: countdownScript,
          });
    }
    return end.setCookie === undefined ? answer : withHeaders(answer, { 'set-cookie': end.setCookie });
  };
}
