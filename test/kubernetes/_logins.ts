// What a login into pods needs on the node: a real OpenID provider and the API that takes its tokens, on an address that
// pods and the browser both reach, and the chart's values for them.
import { createDemoProvider, type DemoProvider, demoClient } from '../../demo/provider.ts';
import { createDemoUpstream, type DemoUpstream } from '../../demo/upstream.ts';
import type { Scope } from './_cluster.ts';
import { NODE } from './_outside.ts';

/** Where the provider sends the browser: the port that `kubectl port-forward` brings to the admin's machine. */
export const oauthUrl = 'http://localhost:1455';

export interface LoginWorld {
  readonly provider: DemoProvider;
  readonly upstream: DemoUpstream;
  /** Sidebearer's configuration. */
  readonly config: object;
}

export async function createLoginWorld(t: Scope): Promise<LoginWorld> {
  const provider = await createDemoProvider({ port: 0, host: NODE, accessTokenSeconds: 3_600 });
  t.teardown(() => provider.close());
  const upstream = await createDemoUpstream({ host: NODE, introspect: provider.introspect });
  t.teardown(() => upstream.close());
  return {
    provider,
    upstream,
    config: {
      routes: [{ upstream: upstream.url, credential: 'api' }],
      credentials: {
        api: { provider: 'oidc', issuer: provider.issuer, clientId: demoClient.id, allowHttp: true },
      },
    },
  };
}
