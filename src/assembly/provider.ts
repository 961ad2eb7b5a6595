// The provider of a credential, loaded only where the configuration names it. It asks nobody anything yet.
import type { Clock } from '../clock.ts';
import type { CredentialConfig } from '../config/schema.ts';
import type { Way } from '../egress/way.ts';
import type { Provider } from '../providers/provider.ts';

export async function createProvider(
  settings: Exclude<CredentialConfig, { provider: 'file' }>,
  clock: Clock,
  way: Way | undefined,
): Promise<Provider> {
  const dispatcher =
    way === undefined ? undefined : (await import('../egress/connector.ts')).createEndpointDispatcher(way);
  const parts = { clock, dispatcher };
  switch (settings.provider) {
    case 'codex':
      return (await import('../providers/codex.ts')).createCodexProvider(settings, parts);
    case 'oidc':
      return (await import('../providers/oidc.ts')).createOidcProvider(settings, parts);
    case 'oauth2':
      return (await import('../providers/oauth2.ts')).createOAuth2Provider(settings, parts);
  }
}
