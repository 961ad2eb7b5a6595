// The whole of telemetry on a fake clock, with its lines kept, for the tests of this folder.
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { createLogger, type LogLevel } from '../../src/telemetry/logger.ts';
import { createMetrics, type Metrics, type MetricsOptions } from '../../src/telemetry/metrics.ts';
import { createObservers, type Observers } from '../../src/telemetry/observers.ts';
import { createFakeClock, type FakeClock } from '../_fake-clock.ts';
import { type Family, parseExposition } from './_exposition.ts';

export const visitor = { address: '127.0.0.1', userAgent: 'Mozilla/5.0' };

export function credentialStatus(name: string, more: Partial<CredentialStatus> = {}): CredentialStatus {
  return {
    name,
    provider: 'oidc',
    grant: 'authorization_code',
    state: 'fresh',
    usable: true,
    generation: 1,
    isDirty: false,
    waiting: 0,
    breaker: 'closed',
    ...more,
  };
}

export interface TestTelemetry extends Observers {
  readonly clock: FakeClock;
  readonly metrics: Metrics;
  /** Every line so far, parsed. */
  readonly lines: Record<string, unknown>[];
  /** Every line so far, as printed. */
  text(): string;
  scrape(): Promise<Map<string, Family>>;
}

export async function createTestTelemetry(
  more: Partial<MetricsOptions> & { level?: LogLevel; accessLog?: boolean } = {},
): Promise<TestTelemetry> {
  const { level = 'trace', accessLog = false, ...metricsOptions } = more;
  const clock = createFakeClock();
  const printed: string[] = [];
  const logger = await createLogger({ level, format: 'json', sink: { write: (line) => void printed.push(line) } });
  const metrics = createMetrics({
    credentials: () => [credentialStatus('codex')],
    hasCredential: (name) => name === 'codex',
    active: { routes: ['api'], perCredential: true, configHash: '0123abcd' },
    version: '1.2.3',
    node: 'v24.0.0',
    storeKind: 'file',
    ...metricsOptions,
  });
  return {
    ...createObservers({ metrics, logger, clock, accessLog: () => accessLog }),
    clock,
    metrics,
    get lines() {
      return printed.map((line): Record<string, unknown> => JSON.parse(line));
    },
    text: () => printed.join(''),
    scrape: async () => parseExposition((await metrics.expose()).body),
  };
}
