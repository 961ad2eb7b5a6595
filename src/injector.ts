// The composition root of the webhook: builds its parts, starts and stops them in order. It reads two TLS files and
// nothing else: no configuration, no Secret, no API.
import { type Clock, sleep, systemClock } from './clock.ts';
import type { SidebearerError } from './errors/sidebearer-error.ts';
import { toSidebearerError } from './errors/sidebearer-error.ts';
import type { Review } from './inject/admission-review.ts';
import { createAdmissionServer } from './inject/admission-server.ts';
import { type CertificateFiles, readCertificate, watchCertificate } from './inject/certificate.ts';
import { injectPod } from './inject/pod-injection.ts';
import type { SidecarDefaults } from './inject/sidecar-container.ts';
import { bind, type ListenAddress } from './listen.ts';
import { createFailureLog } from './telemetry/failure-log.ts';
import { createInjectorMetrics } from './telemetry/injector-metrics.ts';
import { createLogger, type Logger, type LogLevel } from './telemetry/logger.ts';
import { createRepeatGate } from './telemetry/repeat-gate.ts';
import { createTelemetryServer } from './telemetry/server.ts';

export interface InjectorConfig {
  readonly listen: ListenAddress;
  readonly telemetry: ListenAddress;
  readonly tls: CertificateFiles;
  readonly sidecar: SidecarDefaults;
  readonly logLevel: LogLevel;
  /** After SIGTERM, how long requests are still taken: the Service's endpoints hear of it a moment later. */
  readonly minDrainMs: number;
  readonly version: string;
}

export interface Injector {
  readonly urls: { readonly webhook: string; readonly telemetry: string };
  stop(): Promise<void>;
}

/** What an answer that is under way gets once the listener is closed, ms. */
const GRACE_MS = 5_000;

/** Starts everything. @throws SidebearerError with an exit code in its row; nothing is left running then */
export async function startInjector(config: InjectorConfig, clock: Clock = systemClock): Promise<Injector> {
  const { version, sidecar, tls } = config;
  const base = { service: 'sidebearer-inject' };
  const logger = await createLogger({ level: config.logLevel, format: 'json', base });
  const metrics = createInjectorMetrics({ version, node: process.version });
  const failures = createFailureLog(logger, createRepeatGate(clock));
  const failed = (error: SidebearerError): void => {
    metrics.failed(error);
    failures.reportRepeatable('warn', error, '');
  };

  const certificate = await readCertificate(tls);
  metrics.certificateExpires(certificate.expiresAtMs);
  const admission = createAdmissionServer(
    certificate,
    (pod) => injectPod(pod, { ...sidecar, version, stage: 'admission' }),
    {
      reviewed(review) {
        metrics.reviewed(review.outcome);
        if (review.outcome === 'failed') failed(toSidebearerError(review.fault));
        logReview(logger, review);
      },
      failed,
    },
  );
  let isBound = false;
  let isStopping = false;
  const telemetry = createTelemetryServer({
    metrics,
    probes: () => ({ isBound, isStopping, require: 'none', credentials: () => [] }),
    failed: (thrown) => failed(toSidebearerError(thrown)),
  });
  const watch = watchCertificate(tls, certificate, clock, {
    replaced(renewed) {
      admission.renew(renewed);
      metrics.tlsReloaded('taken');
      metrics.certificateExpires(renewed.expiresAtMs);
      const expiresAt = new Date(renewed.expiresAtMs).toISOString();
      logger.info({ event: 'tls_reloaded', expiresAt }, 'New connections get the new certificate');
    },
    refused(thrown) {
      metrics.tlsReloaded('refused');
      failed(toSidebearerError(thrown));
    },
  });

  async function end(minDrainMs: number): Promise<void> {
    isStopping = true;
    watch.close();
    admission.leave();
    await sleep(clock, minDrainMs);
    await admission.close(GRACE_MS);
    await telemetry.close();
  }
  let ended: Promise<void> | undefined;
  const stop = (minDrainMs: number): Promise<void> => {
    ended ??= end(minDrainMs);
    return ended;
  };

  try {
    const { url: telemetryUrl } = await bind(telemetry.server, config.telemetry, '--telemetry');
    const { url } = await bind(admission.server, config.listen, '--listen');
    isBound = true;
    const urls = { webhook: url.replace(/^http:/, 'https:'), telemetry: telemetryUrl };
    for (const [listener, at] of Object.entries(urls)) {
      logger.info({ event: 'listener_bound', listener, url: at }, `Listening for ${listener} on ${at}`);
    }
    return { urls, stop: () => stop(config.minDrainMs) };
  } catch (thrown) {
    await stop(0);
    throw thrown;
  }
}

function logReview(logger: Logger, { outcome, namespace, pod, warnings, isDryRun }: Review): void {
  const fields = { event: 'pod_reviewed', outcome, namespace, pod, warnings, ...(isDryRun && { dryRun: true }) };
  const level = outcome === 'untouched' || outcome === 'already' ? 'debug' : outcome === 'injected' ? 'info' : 'warn';
  logger[level](fields, `Pod ${namespace}/${pod}: ${outcome}`);
}
