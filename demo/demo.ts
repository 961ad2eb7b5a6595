// The main job on embedded parts: an identity provider, an upstream that echoes, and the sidecar between them.
// Everything on loopback and in memory: nothing is left behind.
import { loadConfig, type Override } from '../src/config/load.ts';
import { formatMistake } from '../src/config/mistake.ts';
import { parseListenAddress } from '../src/listen.ts';
import { type Sidecar, startSidecar } from '../src/sidecar.ts';
import { createDemoProvider, type DemoProvider, demoClient } from './provider.ts';
import { createDemoUpstream, type DemoUpstream } from './upstream.ts';

export const demoCredential = 'demo';
const TOKEN_SECONDS = 60;

/** What may be moved, and by which variable. */
export const listenVariables = {
  'listen.proxy': { variable: 'SIDEBEARER_LISTEN_PROXY', address: '127.0.0.1:8080' },
  'listen.oauth': { variable: 'SIDEBEARER_LISTEN_OAUTH', address: '127.0.0.1:1455' },
  'listen.telemetry': { variable: 'SIDEBEARER_LISTEN_TELEMETRY', address: '127.0.0.1:9464' },
} as const;

export interface Demo {
  readonly sidecar: Sidecar;
  readonly provider: DemoProvider;
  readonly upstream: DemoUpstream;
  /** Where the login begins, on the host of the redirect URI. */
  readonly loginUrl: string;
  readonly tokenSeconds: number;
  stop(): Promise<void>;
}

/** @throws SidebearerError as startSidecar does; nothing is left running then */
export async function startDemo(env: Readonly<Record<string, string | undefined>>): Promise<Demo> {
  const started: { close(): Promise<void> }[] = [];
  const stopAll = async (): Promise<void> => {
    // The sidecar first: a refresh that is under way still finds its provider.
    for (const part of started.toReversed()) await part.close();
  };
  try {
    const loginOrigin = `http://localhost:${oauthPort(env)}`;
    const redirectUri = `${loginOrigin}/oauth/callback`;
    const provider = await createDemoProvider({
      port: 0,
      accessTokenSeconds: TOKEN_SECONDS,
      redirectUris: [redirectUri],
    });
    started.push(provider);
    const upstream = await createDemoUpstream({ introspect: provider.introspect });
    started.push(upstream);
    const sidecar = await startSidecar(configure(demoYaml(provider.issuer, upstream.url, redirectUri), env), {
      version: 'demo',
    });
    started.push({ close: () => sidecar.stop('SIGINT') });
    return {
      sidecar,
      provider,
      upstream,
      loginUrl: `${loginOrigin}/oauth/start`,
      tokenSeconds: TOKEN_SECONDS,
      stop: stopAll,
    };
  } catch (thrown) {
    await stopAll();
    throw thrown;
  }
}

function configure(text: string, env: Readonly<Record<string, string | undefined>>) {
  const overrides = Object.entries(listenVariables).flatMap(([setting, { variable }]): Override[] => {
    const value = env[variable];
    return value === undefined ? [] : [{ path: setting.split('.'), value, source: variable }];
  });
  const readFile = (path: string): string => {
    throw new Error(`the demo reads no file, ${path} neither`);
  };
  const loaded = loadConfig({ file: 'demo.yaml', text, env, readFile, overrides });
  if (!loaded.ok) throw new Error(loaded.mistakes.map(formatMistake).join('\n'));
  return loaded.config;
}

/** The redirect URI must name the port that is really served. */
function oauthPort(env: Readonly<Record<string, string | undefined>>): number {
  const { variable, address } = listenVariables['listen.oauth'];
  const parsed = parseListenAddress(env[variable] ?? address);
  if (parsed === undefined || !('port' in parsed)) throw new Error(`${variable} must be host:port, as ${address}`);
  return parsed.port;
}

/** The lease and the timeout stay below a tenth of the token's life. */
function demoYaml(issuer: string, upstream: string, redirectUri: string): string {
  const listen = Object.entries(listenVariables).map(
    ([setting, { address }]) => `  ${setting.split('.')[1]}: ${address}`,
  );
  return `
listen:
${listen.join('\n')}
  hosts: [localhost, 127.0.0.1]
routes:
  - name: echo
    upstream: ${upstream}
    credential: ${demoCredential}
credentials:
  ${demoCredential}:
    provider: oidc
    issuer: ${issuer}
    clientId: ${demoClient.id}
    redirectUri: ${redirectUri}
    refresh: { lead: 15s, timeout: 5s, cooldown: 20s }
    breaker: { resetAfter: 5s }
store: { kind: memory, lease: 3s }
shutdown: { maxDrain: 3s }
log: { format: pretty }
`;
}
