// Credentials in each state that looks different: for the tests of the pages, and for the documents' pictures of them.
import { catalogue, type ErrorCode } from '../../src/errors/catalogue.ts';
import { withDevice } from './_device.ts';
import { createFakeCredential, credentialStatus, type FakeCredential } from './_fakes.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
/** The fake clock's beginning. */
const nowMs = 1_800_000_000_000;

function failing(code: ErrorCode): { code: ErrorCode; atMs: number; next: string } {
  return { code, atMs: nowMs - minute, next: catalogue[code].next };
}

/** One credential in each state that looks different. */
export function gallery(): FakeCredential[] {
  const statuses = [
    {
      name: 'codex',
      provider: 'codex',
      state: 'fresh',
      usable: true,
      account: { email: 'ada@example.test', plan: 'pro', id: 'acct-0123' },
      generation: 12,
      expiresAtMs: nowMs + 9 * day + 4 * hour,
      refreshDueAtMs: nowMs + 4 * day + 16 * hour,
      lastRefreshAtMs: nowMs - 20 * hour,
      quota: { primary: 0.34, secondary: 0.12 },
    },
    { name: 'search', provider: 'oidc', state: 'absent' },
    {
      name: 'billing',
      provider: 'oauth2',
      grant: 'client_credentials',
      state: 'cooling',
      usable: true,
      generation: 3,
      expiresAtMs: nowMs + 9 * minute,
      coolingUntilMs: nowMs + 4 * minute,
      lastRefreshAtMs: nowMs - 51 * minute,
      breaker: 'open',
      lastError: failing('token_endpoint_failing'),
    },
    {
      name: 'mail',
      provider: 'oidc',
      state: 'dead',
      account: { email: 'grace@example.test', id: 'grace' },
      lastError: failing('grant_reused'),
      expiresAtMs: nowMs - minute,
    },
    {
      name: 'store',
      provider: 'oidc',
      state: 'refused',
      usable: true,
      account: { email: 'ada@example.test', id: 'ada' },
      generation: 2,
      expiresAtMs: nowMs + 50 * minute,
      refreshDueAtMs: nowMs + 40 * minute,
      lastRefreshAtMs: nowMs - 10 * minute,
      grantExpiresAtMs: nowMs + 29 * day,
      isDirty: true,
      waiting: 3,
      lastError: failing('access_token_refused'),
    },
  ] as const;
  return statuses.map((status) => {
    const hasLogin = !('grant' in status);
    const credential = createFakeCredential(status.name, { hasLogin });
    if (hasLogin) withDevice(credential);
    credential.behaviour.status = () => credentialStatus(status);
    return credential;
  });
}
