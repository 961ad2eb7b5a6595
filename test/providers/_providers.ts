// Providers against a scripted endpoint, with what every test of them needs.
import type { Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { type CodexOptions, createCodexProvider } from '../../src/providers/codex.ts';
import { createOAuth2Provider, type OAuth2Options } from '../../src/providers/oauth2.ts';
import type { Provider, TokenCall } from '../../src/providers/provider.ts';
import type { EndpointParts } from '../../src/providers/token-endpoint.ts';
import { createScriptedEndpoint, type EndpointScript, type ScriptedEndpoint } from './_scripted-endpoint.ts';

export const patient: TokenCall = { timeoutMs: 20_000, mayBegin: () => true };

export async function scripted(t: Test, script: EndpointScript): Promise<ScriptedEndpoint> {
  const endpoint = await createScriptedEndpoint(script);
  t.teardown(() => endpoint.close());
  return endpoint;
}

export function oauth2At(
  origin: string,
  options: Partial<OAuth2Options> = {},
  parts: Partial<EndpointParts> = {},
): Provider {
  return createOAuth2Provider(
    {
      clientId: 'client',
      tokenUrl: `${origin}/token`,
      authorizeUrl: `${origin}/authorize`,
      scope: 'read',
      ...options,
    },
    { clock: systemClock, ...parts },
  );
}

export function codexAt(
  origin: string,
  options: Partial<CodexOptions> = {},
  parts: Partial<EndpointParts> = {},
): Provider {
  return createCodexProvider(
    {
      authorizeUrl: `${origin}/oauth/authorize`,
      tokenUrl: `${origin}/oauth/token`,
      revokeUrl: `${origin}/oauth/revoke`,
      ...options,
    },
    { clock: systemClock, ...parts },
  );
}

/** A JWT with these claims and a signature of no worth. */
export function unsignedJwt(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256', kid: 'k', typ: 'JWT' })}.${part(claims)}.c2lnbmF0dXJl`;
}
