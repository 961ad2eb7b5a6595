// Two providers are configured, and one of them is Mallory's, or was taken over by him. The admin logs in there; he
// sends the browser on to the honest one, with the state of this login. The honest one's code would come back as his,
// and be sent to his token endpoint. The honest one names itself in `iss` (RFC 9207; RFC 9700, section 4.4).
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createOidcProvider } from '../../src/providers/oidc.ts';
import { createRealOidc, redirectUri } from '../providers/_oidc.ts';
import { scripted } from '../providers/_providers.ts';
import { jsonOf } from '../providers/_scripted-endpoint.ts';
import { ask, beginLogin, codeOf, comeBack, createFakeCredential, postForm, startPort } from './_fakes.ts';

for (const admitsIt of [true, false]) {
  const how = admitsIt ? 'as it does itself' : 'though it says that it never does';
  t.test(`an answer in which another provider names itself is refused, ${how}`, async (t) => {
    const honest = await createRealOidc(t);
    const mallory = await scripted(t, {
      reply: ({ target }) =>
        target.startsWith('/.well-known/')
          ? jsonOf(200, {
              issuer: mallory.origin,
              authorization_endpoint: `${mallory.origin}/auth`,
              token_endpoint: `${mallory.origin}/token`,
              jwks_uri: `${mallory.origin}/jwks`,
              authorization_response_iss_parameter_supported: admitsIt,
            })
          : jsonOf(200, { access_token: 'at', token_type: 'Bearer', expires_in: 60 }),
    });
    const client = { clientId: 'sidecar', clientSecret: 'cs-SECRET', scope: 'openid email', redirectUri };
    const providerOf = (issuer: string) => createOidcProvider({ issuer, ...client }, { clock: systemClock });
    const ofHonest = providerOf(honest.issuer).login;
    let atMallory: URL | undefined;
    const { login } = providerOf(mallory.origin);
    const credential = Object.assign(createFakeCredential(), {
      login: login && {
        ...login,
        authorizationUrl: async (request: Parameters<typeof login.authorizationUrl>[0]) => {
          atMallory = await login.authorizationUrl(request);
          return atMallory;
        },
      },
    });
    const { port } = await startPort(t, [credential]);
    const { state, cookie } = await beginLogin(port);

    // His page sends the browser on: the honest client's id, and his own challenge, state and redirect URI.
    const sentOn = await ofHonest?.authorizationUrl({ state, nonce: 'n', verifier: 'v'.repeat(43) });
    sentOn?.searchParams.set('code_challenge', atMallory?.searchParams.get('code_challenge') ?? '');
    const answer = await honest.logIn(sentOn ?? new URL(honest.issuer));
    t.equal(answer.get('iss'), honest.issuer);
    t.equal(answer.get('state'), state);

    const reply = await comeBack(port, answer.toString(), cookie);
    t.equal(reply.status, 400);
    t.equal(codeOf(reply), 'callback_issuer_mismatch');
    t.notOk(JSON.stringify(mallory.requests).includes(answer.get('code') ?? '?'), 'the code is not sent to him');
    t.equal(credential.accepted.length, 0);
  });
}

t.test('an answer at the redirect URI of another credential is none of this login, and ends nothing', async (t) => {
  // Neither provider names itself: what the honest one sent to its own redirect URI is led to the hostile one's login.
  const { port } = await startPort(t, [createFakeCredential()]);
  const { state, cookie } = await beginLogin(port);
  const query = new URLSearchParams({ code: 'c', state });
  const elsewhere = await ask(port, `/auth/callback?${query}`, { headers: { cookie } });
  t.equal(elsewhere.status, 400);
  t.equal(codeOf(elsewhere), 'callback_issuer_mismatch');
  t.equal((await comeBack(port, { code: 'c', state }, cookie)).status, 200, 'its own answer still counts');
});

t.test('a proxy in front may have taken the beginning of the path away', async (t) => {
  const registered = 'https://login.example.test/sidebearer/oauth/callback';
  const { port } = await startPort(t, [createFakeCredential('codex', { redirectUri: registered })]);
  const host = { host: 'login.example.test' };
  const begun = await postForm(port, { credential: 'codex' }, { ...host, origin: 'https://login.example.test' });
  const state = new URL(begun.headers.location ?? '').searchParams.get('state') ?? '';
  const cookie = begun.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  t.equal((await comeBack(port, { code: 'c', state }, cookie, host)).status, 200);
});
