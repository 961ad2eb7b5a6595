// Telemetry to which everything happened once, so that every metric has a series.
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { RequestEnd } from '../../src/proxy/observer.ts';
import { createTestTelemetry, credentialStatus, type TestTelemetry, visitor } from './_telemetry.ts';

export const ended: RequestEnd = {
  route: 'api',
  method: 'GET',
  status: 200,
  aborted: false,
  durationMs: 20,
  upstreamTtfbMs: 10,
};

export async function createBusyTelemetry(): Promise<TestTelemetry> {
  const telemetry = await createTestTelemetry({
    credentials: () => [
      credentialStatus('codex', {
        state: 'cooling',
        expiresAtMs: 1_800_000_060_000,
        grantExpiresAtMs: 1_900_000_000_000,
        refreshDueAtMs: 1_800_000_030_500,
        coolingUntilMs: 1_800_000_300_000,
        waiting: 3,
        quota: { primary: 0.5, secondary: 1.25 },
        isDirty: true,
      }),
    ],
  });
  const { proxy, credentials, logins } = telemetry;
  const error = new SidebearerError('token_endpoint_failing', { credential: 'codex', status: 500 });
  proxy.requestBegan('api');
  proxy.requestBegan('api');
  proxy.requestEnded(ended);
  proxy.requestEnded({ ...ended, route: undefined, status: 404, error: new SidebearerError('route_unknown') });
  proxy.replayed('api', 'accepted');
  proxy.upgradesChanged('api', 1);
  credentials.refreshEnded('codex', { trigger: 'demand', outcome: 'failed', durationMs: 50, error });
  credentials.tokenRequested('codex', 'authorization_code', '5xx');
  credentials.breakerChanged('https://idp.test/token', 'direct', 'open');
  credentials.storeWritten('codex', 'committed');
  logins.loginSucceeded('codex', visitor, undefined, undefined);
  return telemetry;
}
