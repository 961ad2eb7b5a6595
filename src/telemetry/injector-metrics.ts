// Counts what the webhook does. Its registry is its own: the webhook is another program than the sidecar, and none of
// the sidecar's series would mean anything there.
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { catalogue, errorCodes } from '../errors/catalogue.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import { injectorMetricDefinitions, type MetricDefinition } from './metric-definitions.ts';
import type { Exposition } from './metrics.ts';

export const reviewOutcomes = ['injected', 'refused', 'already', 'untouched', 'ignored', 'failed'] as const;
export type ReviewOutcome = (typeof reviewOutcomes)[number];
const reloadOutcomes = ['taken', 'refused'] as const;

export interface InjectorMetrics {
  expose(): Promise<Exposition>;
  reviewed(outcome: ReviewOutcome): void;
  tlsReloaded(outcome: (typeof reloadOutcomes)[number]): void;
  certificateExpires(atMs: number): void;
  failed(error: SidebearerError): void;
}

export function createInjectorMetrics(build: { readonly version: string; readonly node: string }): InjectorMetrics {
  const registry = new Registry();
  const registers = [registry];
  const common = ({ name, help, labels }: MetricDefinition) => ({ name, help, labelNames: labels, registers });
  const define = injectorMetricDefinitions;
  const buildInfo = new Gauge(common(define.buildInfo));
  const errors = new Counter(common(define.errors));
  const injections = new Counter(common(define.injections));
  const tlsReloads = new Counter(common(define.tlsReloads));
  const certificateExpiry = new Gauge(common(define.certificateExpiry));
  collectDefaultMetrics({ register: registry });

  buildInfo.set({ ...build }, 1);
  // rate() is taken for each series: one that is born at 1 hides its first event.
  for (const code of errorCodes) errors.inc({ layer: catalogue[code].layer, code }, 0);
  for (const outcome of reviewOutcomes) injections.inc({ outcome }, 0);
  for (const outcome of reloadOutcomes) tlsReloads.inc({ outcome }, 0);

  return {
    async expose() {
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    reviewed: (outcome) => injections.inc({ outcome }),
    tlsReloaded: (outcome) => tlsReloads.inc({ outcome }),
    certificateExpires: (atMs) => certificateExpiry.set(atMs / 1_000),
    failed: (error) => errors.inc({ layer: error.row.layer, code: error.code }),
  };
}
