// Mallory has a code that was issued to the admin (out of a log, or a browser's history) or one for an account of his
// own, and puts it into a login of his own choice: into an answer whose state and cookie are right. What is left is the
// verifier, which only the login that asked for the code knows (RFC 7636; RFC 9700, sections 4.5 and 4.8.2).
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createOidcProvider } from '../../src/providers/oidc.ts';
import { createRealOidc, redirectUri } from '../providers/_oidc.ts';
import { beginLogin, codeOf, comeBack, createFakeCredential, startPort } from './_fakes.ts';

t.test('a code that another login asked for is not accepted, though state and cookie are right', async (t) => {
  const oidc = await createRealOidc(t);
  const scope = 'openid email offline_access';
  const options = { issuer: oidc.issuer, clientId: 'sidecar', clientSecret: 'cs-SECRET', scope, redirectUri };
  const { login } = createOidcProvider(options, { clock: systemClock });
  const urls: URL[] = [];
  const credential = Object.assign(createFakeCredential(), {
    login: login && {
      ...login,
      authorizationUrl: async (request: Parameters<typeof login.authorizationUrl>[0]) => {
        const url = await login.authorizationUrl(request);
        urls.push(url);
        return url;
      },
    },
  });
  const { port } = await startPort(t, [credential]);
  await beginLogin(port);
  const admin = await beginLogin(port);
  const answers = await Promise.all(urls.map((url) => oidc.logIn(url)));
  const [ofMallory, ofAdmin] = answers.map((each) => Object.fromEntries(each));
  t.not(urls[0]?.searchParams.get('code_challenge'), urls[1]?.searchParams.get('code_challenge'));
  t.not(urls[0]?.searchParams.get('nonce'), urls[1]?.searchParams.get('nonce'));

  const injected = { ...ofMallory, state: admin.state };
  const reply = await comeBack(port, injected, admin.cookie);
  t.equal(reply.status, 502);
  t.equal(codeOf(reply), 'code_rejected');
  t.equal(credential.accepted.length, 0, 'no token of it is stored');
  t.equal(codeOf(await comeBack(port, { ...ofAdmin }, admin.cookie)), 'state_used', 'a state serves once');
  t.equal(credential.accepted.length, 0);
});

t.test('no page, redirect or answer tells the verifier or the nonce before the token endpoint is asked', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  const [request] = credential.requested;
  const replies = [
    await comeBack(port, { state: 'x', code: 'c' }, cookie),
    await comeBack(port, { state, code: 'c' }, undefined),
    await comeBack(port, { state, code: 'c' }, cookie),
  ];
  for (const reply of replies) {
    t.notMatch(JSON.stringify(reply), request?.verifier ?? '');
    t.notMatch(JSON.stringify(reply), request?.nonce ?? '');
  }
});
