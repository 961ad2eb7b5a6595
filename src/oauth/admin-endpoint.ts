// What a person may order of a credential: `POST /oauth/refresh`, `/oauth/resume` and `/oauth/logout`. A program is
// answered with JSON; a browser's form with the way back to the status page, the result in its query as one word.
import { type Clock, sleep } from '../clock.ts';
import type { ImportedTokens, ManagedCredential } from '../credentials/bearer.ts';
import type { RekeyOutcome } from '../credentials/rekey.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { type Answer, jsonAnswer, redirectAnswer } from './answer.ts';
import { readFields } from './body.ts';
import type { Failures } from './failures.ts';
import type { AdminAction, LoginObserver } from './observer.ts';
import type { Endpoint, Visit } from './visit.ts';

export interface AdminOptions {
  readonly clock: Clock;
  readonly credentials: ReadonlyMap<string, ManagedCredential>;
  readonly failures: Failures;
  readonly observer: LoginObserver;
  /** Seals everything stored under the first key. */
  readonly rekey: () => AsyncIterable<RekeyResult>;
}

export interface RekeyResult {
  readonly credential: string;
  readonly result: RekeyOutcome | SidebearerError;
}

export interface AdminEndpoints {
  readonly refresh: Endpoint;
  readonly resume: Endpoint;
  readonly logout: Endpoint;
  /** By programs alone. */
  readonly import: Endpoint;
  readonly rekey: Endpoint;
}

/** How an order ended well, in one word: of the JSON, of the status page's query, of the audit log. */
export type AdminResult =
  /** By us, by another replica, or replaced by a login meanwhile. */
  | 'refreshed'
  | 'adopted'
  | 'superseded'
  /** A browser waited long enough; the refresh goes on. */
  | 'refreshing'
  | 'resumed'
  | 'not_paused'
  /** Deleted here, and revoked at the provider; or only deleted, as it has no revocation; or nothing was there. */
  | 'logged_out'
  | 'logged_out_here'
  | 'nothing_to_log_out'
  | 'imported';

/** An order that was carried out. */
interface Done {
  readonly result: AdminResult;
  /** What went wrong beside it. */
  readonly error?: SidebearerError;
  /** What more a program is told. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** A form is answered within this, ms; a program decides for itself how long it waits. */
const FORM_PATIENCE_MS = 15_000;

export function createAdminEndpoints(options: AdminOptions): AdminEndpoints {
  const { clock, credentials, failures, observer } = options;

  function endpoint(
    action: AdminAction,
    act: (credential: ManagedCredential, isForm: boolean, fields: URLSearchParams) => Promise<Done>,
  ): Endpoint {
    return async (visit) => {
      const fields = await readFields(visit.request);
      const name = fields.get('credential');
      if (name === null) throw new SidebearerError('admin_request_malformed', { reason: 'it names no credential' });
      const credential = credentials.get(name);
      if (credential === undefined) throw new SidebearerError('credential_unknown');
      try {
        const done = await act(credential, !visit.wantsJson, fields);
        observer.administered({ action, credential: name, outcome: done.error?.code ?? done.result }, visit.visitor);
        return answer(visit, credential, done);
      } catch (thrown) {
        const error = toSidebearerError(thrown);
        observer.administered({ action, credential: name, outcome: error.code }, visit.visitor);
        if (visit.wantsJson) return failures(error, { texts: visit.texts, wantsJson: true, credential: name });
        return back(name, error.code);
      }
    };
  }

  function answer({ wantsJson }: Visit, credential: ManagedCredential, { result, error, more }: Done): Answer {
    if (!wantsJson) return back(credential.name, error?.code ?? result);
    const warning =
      error === undefined ? {} : { warning: { code: error.code, message: error.message, next: error.next } };
    return jsonAnswer(200, { result, ...more, ...warning, credential: credential.status() });
  }

  return {
    async rekey({ request, visitor }) {
      await readFields(request);
      const credentials: unknown[] = [];
      for await (const { credential, result } of options.rekey()) {
        const isDone = typeof result === 'string';
        observer.administered({ action: 'rekey', credential, outcome: isDone ? result : result.code }, visitor);
        credentials.push({
          credential,
          ...(isDone ? { result } : { code: result.code, title: result.message, next: result.next }),
        });
      }
      return jsonAnswer(200, { credentials });
    },

    refresh: endpoint('refresh', async (credential, isForm) => {
      const refreshed = credential.refresh();
      if (!isForm) return { result: await refreshed };
      const answered = new AbortController();
      const patience = sleep(clock, FORM_PATIENCE_MS, answered.signal, { background: true });
      try {
        return { result: await Promise.race([refreshed, patience.then(() => 'refreshing' as const)]) };
      } finally {
        answered.abort();
        // Nobody may be left to hear of a failure; the refresh itself has told it.
        refreshed.catch(() => undefined);
      }
    }),

    resume: endpoint('resume', async (credential) => {
      const ended = credential.resume();
      return { result: ended.length === 0 ? 'not_paused' : 'resumed', more: { ended } };
    }),

    logout: endpoint('logout', async (credential) => {
      const revocation = await credential.logout();
      const more = { revocation: revocation.outcome };
      switch (revocation.outcome) {
        case 'revoked':
          return { result: 'logged_out', more };
        case 'unsupported':
          return { result: 'logged_out_here', more };
        case 'unneeded':
          return { result: 'nothing_to_log_out', more };
        case 'failed':
          return { result: 'logged_out_here', error: revocation.error, more };
      }
    }),

    import: endpoint('import', async (credential, isForm, fields) => {
      // No page of ours has such a form, and what is typed into one a browser may remember.
      if (isForm) throw new SidebearerError('admin_request_malformed', { reason: 'an import is JSON' });
      await credential.importTokens(readImported(fields), { replaceAccount: fields.get('replace') === 'yes' });
      return { result: 'imported' };
    }),
  };
}

/** @throws admin_request_malformed */
function readImported(fields: URLSearchParams): ImportedTokens {
  const [accessToken, refreshToken, idToken] = ['accessToken', 'refreshToken', 'idToken'].map((name) =>
    fields.get(name),
  );
  const expiresAtMs = readMoment(fields, 'expiresAt');
  const obtainedAtMs = readMoment(fields, 'obtainedAt');
  return {
    ...(typeof accessToken === 'string' && { accessToken }),
    ...(typeof refreshToken === 'string' && { refreshToken }),
    ...(typeof idToken === 'string' && { idToken }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(obtainedAtMs !== undefined && { obtainedAtMs }),
  };
}

/** Wall ms of RFC 3339. */
function readMoment(fields: URLSearchParams, name: string): number | undefined {
  const written = fields.get(name);
  if (written === null) return undefined;
  const ms = Date.parse(written);
  if (Number.isFinite(ms)) return ms;
  throw new SidebearerError('admin_request_malformed', { reason: `${name} is no date` });
}

/** To the status page, which knows the words for the result. */
function back(credential: string, result: AdminResult | ErrorCode): Answer {
  return redirectAnswer(303, `/?${new URLSearchParams({ credential, result })}`);
}
