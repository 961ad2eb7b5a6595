// All observers on one set of metrics, one logger and one gate against floods: what the composition root hands out.
import type { Clock } from '../clock.ts';
import type { ReloadObserver } from '../config/reload-observer.ts';
import type { CredentialObserver } from '../credentials/observer.ts';
import type { LoginObserver } from '../oauth/observer.ts';
import type { ProxyObserver } from '../proxy/observer.ts';
import { createCredentialObserver } from './credential-observer.ts';
import { createFailureLog } from './failure-log.ts';
import { createLifeObserver, type LifeObserver } from './life-observer.ts';
import { createListenerObserver, type ListenerObserver } from './listener-observer.ts';
import type { Logger } from './logger.ts';
import { createLoginObserver } from './login-observer.ts';
import type { Metrics } from './metrics.ts';
import { createProxyObserver } from './proxy-observer.ts';
import { createReloadObserver } from './reload-observer.ts';
import { createRepeatGate } from './repeat-gate.ts';

export interface ObserversOptions {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** `log.access`: one line at info for each request. */
  readonly accessLog: () => boolean;
}

export interface Observers {
  readonly credentials: CredentialObserver;
  readonly proxy: ProxyObserver;
  readonly logins: LoginObserver;
  readonly listeners: ListenerObserver;
  readonly reloads: ReloadObserver;
  readonly life: LifeObserver;
}

export function createObservers({ metrics, logger, clock, accessLog }: ObserversOptions): Observers {
  const telemetry = { metrics, logger, failures: createFailureLog(logger, createRepeatGate(clock)) };
  return {
    credentials: createCredentialObserver(telemetry),
    proxy: createProxyObserver({ ...telemetry, gate: createRepeatGate(clock), accessLog }),
    logins: createLoginObserver(telemetry),
    listeners: createListenerObserver(telemetry),
    reloads: createReloadObserver(telemetry),
    life: createLifeObserver(telemetry),
  };
}
