// What telemetry and the proxy listener need of the configuration in force: the same at the start and after a reload.
import type { Clock } from '../clock.ts';
import { configHash } from '../config/config-hash.ts';
import type { Config } from '../config/schema.ts';
import type { Refresher } from '../credentials/refresher.ts';
import type { ClientToken } from '../proxy/client-token.ts';
import type { ProxySettings } from '../proxy/listener.ts';
import type { ListenerTls } from '../proxy/listener-tls.ts';
import type { ActiveConfiguration } from '../telemetry/metrics.ts';
import { createRoutes } from './routes.ts';
import type { Ways } from './ways.ts';

/** Above this many credentials, gauges of single ones would be too many series. */
const MOST_CREDENTIALS_WITH_GAUGES = 100;

/** @param keyOfProcess of `configHash` */
export function activeFacts(config: Config, keyOfProcess: Buffer): ActiveConfiguration {
  const { perCredential } = config.metrics;
  const isFew = Object.keys(config.credentials).length <= MOST_CREDENTIALS_WITH_GAUGES;
  return {
    routes: config.routes.map(({ name }) => name),
    perCredential: perCredential === 'auto' ? isFew : perCredential,
    configHash: configHash(config, keyOfProcess),
  };
}

export interface ProxyParts {
  readonly credentials: ReadonlyMap<string, Refresher>;
  readonly ways: Ways;
  readonly listenerTls: ListenerTls | undefined;
  readonly clock: Clock;
}

export function proxySettings(config: Config, { credentials, ways, listenerTls, clock }: ProxyParts): ProxySettings {
  const { limits, listen } = config;
  return {
    routes: createRoutes(config, credentials, ways, clock),
    hosts: listen.hosts,
    tls: listenerTls,
    clients: clientTokenOf(listen.clients),
    limits: {
      inFlight: limits.inFlight,
      headerBytes: limits.headerBytes,
      headerCount: limits.headerCount,
      headerTimeoutMs: limits.headerTimeout,
      keepAliveMs: limits.keepAlive,
      replayMemoryBytes: limits.replayMemory,
    },
  };
}

function clientTokenOf({ header, token }: Config['listen']['clients']): ClientToken | undefined {
  return header === undefined || token === undefined ? undefined : { header, token };
}
