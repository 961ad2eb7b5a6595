// A login by hand at the demo's provider, which no sidecar knows of: what an operator, or another program, brings along.
import { createHash, randomBytes } from 'node:crypto';
import { demoClient } from '../../demo/provider.ts';
import { clickThrough, createBrowser } from '../demo/_login.ts';
import type { World } from './_world.ts';

/** A refresh token as an operator has one: from a login that was done elsewhere. */
export async function refreshTokenOf(world: World): Promise<string> {
  const redirectUri = `${world.oauthUrl}/oauth/callback`;
  const verifier = randomBytes(32).toString('base64url');
  const start = new URL(`${world.provider.issuer}/auth`);
  start.search = new URLSearchParams({
    response_type: 'code',
    client_id: demoClient.id,
    redirect_uri: redirectUri,
    scope: 'openid offline_access',
    prompt: 'consent',
    state: 'x',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }).toString();
  const callback = await clickThrough(createBrowser(), start, 'continue');
  const answer = await fetch(`${world.provider.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: demoClient.id,
      code: callback.searchParams.get('code') ?? '',
      redirect_uri: redirectUri,
      code_verifier: verifier,
    }),
  });
  const { refresh_token } = (await answer.json()) as { refresh_token?: string };
  if (refresh_token === undefined) throw new Error('no refresh token');
  return refresh_token;
}
