// The buttons of the status page: what can be ordered in which state, and what is shown of how it went.
import t, { type Test } from 'tap';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { withDevice } from './_device.ts';
import { ask, createFakeCredential, credentialStatus, startPort } from './_fakes.ts';

interface Given {
  readonly status?: Partial<CredentialStatus>;
  readonly hasLogin?: boolean;
  readonly hasDevice?: boolean;
}

/** What the credential's card offers, by what each leads to. */
async function offers(t: Test, { status = {}, hasLogin = true, hasDevice = false }: Given): Promise<string[]> {
  const credential = createFakeCredential('codex', { hasLogin });
  if (hasDevice) withDevice(credential);
  credential.behaviour.status = () => credentialStatus(status);
  const { port } = await startPort(t, [credential]);
  // Whether a provider has a login on another device is known once it was asked.
  await ask(port, '/?refresh=off');
  const { body } = await ask(port, '/?refresh=off');
  const [card = ''] = /<article.*<\/article>/s.exec(body) ?? [];
  const found = card.matchAll(/(?:action|class="button[^"]*" href)="\/oauth\/(\w+)/g);
  return [...found].map(([, name = '']) => name).sort();
}

for (const [what, given, expected] of [
  ['nothing yet', { status: { state: 'absent' } }, ['start']],
  ['nothing yet, with another device', { status: { state: 'absent' }, hasDevice: true }, ['device', 'start']],
  ['a fresh token', { status: { state: 'fresh' } }, ['logout', 'refresh', 'start']],
  ['a pause', { status: { state: 'cooling' } }, ['logout', 'refresh', 'resume', 'start']],
  ['a refused token', { status: { state: 'refused' } }, ['logout', 'refresh', 'resume', 'start']],
  ['a dead grant', { status: { state: 'dead' } }, ['logout', 'start']],
  [
    'a refresh token at hand',
    { status: { state: 'due', grant: 'refresh_token' }, hasLogin: false },
    ['logout', 'refresh'],
  ],
  ['a client of its own', { status: { state: 'fresh', grant: 'client_credentials' }, hasLogin: false }, ['refresh']],
  ['a token file', { status: { state: 'fresh', provider: 'file', grant: 'file' }, hasLogin: false }, []],
] as const) {
  t.test(`${what}: ${expected.join(', ') || 'nothing'} can be ordered`, async (t) => {
    t.strictSame(await offers(t, given), expected);
  });
}

t.test('logging out asks first, without a script', async (t) => {
  const credential = createFakeCredential();
  credential.behaviour.status = () => credentialStatus({ state: 'fresh' });
  const { port } = await startPort(t, [credential]);
  const { body } = await ask(port, '/');
  const details = /<details class="ask".*?<\/details>/s.exec(body)?.[0] ?? '';
  t.match(details, /<summary[^>]*>Log out of codex…<\/summary>/);
  t.match(details, 'Requests then fail until somebody logs in again.');
  t.match(details, /<form method="post" action="\/oauth\/logout">.*name="credential" value="codex"/s);
  t.notMatch(details, '<details class="ask" open');
});

t.test('how an order went is told in our words alone', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const page = async (query: string): Promise<string> => (await ask(port, `/?${query}`)).body;
  t.match(
    await page('credential=codex&result=refreshed'),
    /role="status"><strong>codex<\/strong>: The token was refreshed\./,
  );
  const failed = await page('credential=codex&result=breaker_open');
  t.match(failed, /role="alert"><h2>codex: The token endpoint has failed so often/);
  t.match(failed, '<code>breaker_open</code>');
  for (const query of [
    'credential=codex&result=<script>',
    'credential=nobody&result=refreshed',
    'credential=codex&result=toString',
    'credential=codex&result=__proto__',
    'credential=codex',
    'result=refreshed',
  ]) {
    t.notMatch(await page(query), /class="card note good"|role="alert"/, query);
  }
});
