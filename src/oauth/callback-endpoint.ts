// The callback: where the provider sends the browser back to. The state decides whose it is, and its redirect URI which path.
// And the paste of the same answer, by a browser that could not be sent back here.
import type { Clock } from '../clock.ts';
import { type Answer, jsonAnswer, pageAnswer, withHeaders } from './answer.ts';
import { readFields } from './body.ts';
import type { Failures } from './failures.ts';
import type { Logins } from './logins.ts';
import { countdownScript } from './pages/scripts.ts';
import { successPage } from './pages/success-page.ts';
import { readPaste } from './pasted-answer.ts';
import { type Endpoint, splitTarget, type Visit } from './visit.ts';

export interface CallbackOptions {
  readonly version: string;
  readonly clock: Clock;
  readonly logins: Logins;
  readonly failures: Failures;
  /** The store, in words. */
  readonly storedIn: string | undefined;
}

export interface CallbackEndpoints {
  readonly callback: Endpoint;
  readonly complete: Endpoint;
}

export function createCallbackEndpoints(options: CallbackOptions): CallbackEndpoints {
  const { version, clock, logins, failures, storedIn } = options;

  async function finish(parameters: URLSearchParams, visit: Visit, path?: string): Promise<Answer> {
    const { request, visitor, wantsJson, texts } = visit;
    const proof = { cookies: request.headers.cookie, ...(path !== undefined && { path }) };
    const end = await logins.finish(parameters, proof, visitor);
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
  }

  return {
    callback: (visit) => finish(visit.query, visit, splitTarget(visit.request.url ?? '').path),
    async complete(visit) {
      return finish(readPaste(await readFields(visit.request)), visit);
    },
  };
}
