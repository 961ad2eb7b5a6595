// `/` and `/status.json`: the same statuses, for a person and for a program. No secret can be in either: a
// CredentialStatus holds none.
import type { Clock } from '../clock.ts';
import type { ManagedCredential } from '../credentials/bearer.ts';
import { jsonAnswer, pageAnswer } from './answer.ts';
import type { ConfigurationStatus } from './configuration-status.ts';
import { createLive, type Live } from './live.ts';
import { readResult } from './pages/order-result.ts';
import { liveScript } from './pages/scripts.ts';
import { statusPage, statusRegions } from './pages/status-page.ts';
import type { Texts } from './texts/english.ts';
import type { Endpoint } from './visit.ts';

export interface StatusOptions {
  readonly version: string;
  readonly clock: Clock;
  readonly credentials: ReadonlyMap<string, ManagedCredential>;
  readonly notices: () => readonly string[];
  readonly configuration: () => ConfigurationStatus | undefined;
  /** The store, in words. */
  readonly storedIn?: string | undefined;
}

export interface StatusEndpoints {
  readonly page: Endpoint;
  readonly json: Endpoint;
  readonly live: Live;
}

/** Rendering one credential takes some 20 µs: ten thousand are looked at less often. */
const INTERVAL_MS = 1_000;

export function createStatusEndpoints(options: StatusOptions): StatusEndpoints {
  const { version, clock, credentials, notices, configuration } = options;
  /** Whether a provider has a login on another device is known only by asking it: at a visit, not at each look. */
  const offered = new Map<string, boolean>();
  const askForDevices = (): void => {
    for (const { name, device } of credentials.values()) {
      void device?.isOffered().then((isOffered) => offered.set(name, isOffered));
    }
  };
  const viewFor = (texts: Texts) => ({
    texts,
    version,
    nowMs: clock.wallMs(),
    credentials: [...credentials.values()].map((credential) => ({
      status: credential.status(),
      hasLogin: credential.login !== undefined,
      // A reload may have taken it away.
      hasDevice: credential.device !== undefined && offered.get(credential.name) === true,
    })),
    notices: notices(),
    configuration: configuration(),
  });
  const isRedirectName = (name: string): boolean =>
    [...credentials.values()].some(({ login }) => login !== undefined && new URL(login.redirectUri).hostname === name);
  return {
    page({ query, texts, host }) {
      const isLive = query.get('refresh') !== 'off';
      askForDevices();
      const result = readResult(query, texts, (name) => credentials.has(name));
      const page = statusPage({ ...viewFor(texts), isLive, result, hasPaste: isRedirectName(host.name) });
      return pageAnswer(200, page, isLive ? { script: liveScript } : {});
    },
    json: () => {
      const inForce = configuration();
      return jsonAnswer(200, {
        version,
        ...(inForce !== undefined && { configuration: inForce }),
        ...(options.storedIn !== undefined && { storedIn: options.storedIn }),
        credentials: [...credentials.values()].map((each) => ({
          ...each.status(),
          ...(each.login !== undefined && { redirectUri: each.login.redirectUri }),
        })),
      });
    },
    live: createLive({
      clock,
      render: (texts) => statusRegions(viewFor(texts)),
      intervalMs: Math.max(INTERVAL_MS, credentials.size),
    }),
  };
}
