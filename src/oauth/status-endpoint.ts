// `/` and `/status.json`: the same statuses, for a person and for a program. No secret can be in either: a
// CredentialStatus holds none.
import type { Clock } from '../clock.ts';
import type { ManagedCredential } from '../credentials/bearer.ts';
import { jsonAnswer, pageAnswer } from './answer.ts';
import { statusPage } from './pages/status-page.ts';
import type { Endpoint } from './visit.ts';

export interface StatusOptions {
  readonly version: string;
  readonly clock: Clock;
  readonly credentials: ReadonlyMap<string, ManagedCredential>;
  readonly notices: () => readonly string[];
}

export function createStatusEndpoints(options: StatusOptions): { readonly page: Endpoint; readonly json: Endpoint } {
  const { version, clock, credentials, notices } = options;
  return {
    page: ({ query, texts }) => {
      const views = [...credentials.values()].map((credential) => ({
        status: credential.status(),
        hasLogin: credential.login !== undefined,
      }));
      const isRefreshing = query.get('refresh') !== 'off';
      const view = { texts, version, nowMs: clock.wallMs(), credentials: views, notices: notices(), isRefreshing };
      return pageAnswer(200, statusPage(view));
    },
    json: () => jsonAnswer(200, { version, credentials: [...credentials.values()].map((each) => each.status()) }),
  };
}
