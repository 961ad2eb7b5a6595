// Mallory sends the admin a link that begins with our address and ends at his: with a page there that looks like ours
// and asks for a pasted answer, or that simply receives a code. Nothing in a request says where a browser is sent: the
// targets are the provider's authorize URL, the registered redirect URI, and our own pages (RFC 9700, section 4.11).
import t from 'tap';
import { withDevice } from './_device.ts';
import { ask, beginLogin, createFakeCredential, type Reply, startPort } from './_fakes.ts';

const evils = [
  'https://evil.test/',
  '//evil.test/',
  '/\\evil.test',
  '\\\\evil.test',
  'http:evil.test',
  'javascript:alert(1)',
  'data:text/html,x',
  '%0d%0aLocation: https://evil.test/',
  '\r\nLocation: https://evil.test/',
  'codex@evil.test',
];
const names = ['credential', 'moved', 'refresh', 'result', 'next', 'to', 'url', 'return', 'return_to', 'redirect'];
const more = ['redirect_uri', 'state', 'code', 'iss', 'error', 'error_uri', 'verification_uri', 'continue', 'href'];

/** Each place that an answer leads to by itself, or by its links and forms. */
function leads({ headers, body }: Reply): string[] {
  const found = [...body.matchAll(/\s(?:href|action|formaction|src|data-to|content)="([^"]*)"/g)];
  const places = found.map(([, place = '']) => place.replaceAll('&amp;', '&'));
  return [headers.location ?? '', String(headers['refresh'] ?? ''), ...places];
}

t.test('whatever stands in a query, no answer leads to it', async (t) => {
  const { port } = await startPort(t, [withDevice(createFakeCredential()), createFakeCredential('other')]);
  const { cookie } = await beginLogin(port);
  for (const path of ['/', '/oauth/start', '/oauth/callback', '/auth/callback', '/oauth/device', '/cancel']) {
    const led: string[] = [];
    // From 127.0.0.1 a browser is moved to the registered name.
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`]) {
      for (const evil of evils) {
        for (const name of [...names, ...more]) {
          const query = new URLSearchParams({ credential: 'codex', [name]: evil });
          const places = leads(await ask(port, `${path}?${query}`, { headers: { cookie, host } }));
          led.push(...places.filter((place) => /evil|javascript:|data:text/i.test(decodeURIComponent(place))));
        }
      }
    }
    t.strictSame(led, [], path);
  }
});

t.test('nor does a path that a browser reads as a host, nor a form, nor a Host with another port', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  for (const path of [
    '//evil.test/',
    '//evil.test/oauth/start',
    '/\\evil.test/',
    '/%2f%2fevil.test',
    '/.//evil.test',
  ]) {
    t.match(await ask(port, path), { status: 404, headers: { location: undefined } }, path);
  }
  const origin = `http://localhost:${port}`;
  for (const path of ['/oauth/start', '/oauth/refresh', '/oauth/resume', '/oauth/logout', '/oauth/device']) {
    for (const evil of evils) {
      const fields = { credential: 'codex', next: evil, redirect_uri: evil, return_to: evil, result: evil };
      const headers = { origin, 'content-type': 'application/x-www-form-urlencoded' };
      const body = new URLSearchParams(fields).toString();
      const { location = '/' } = (await ask(port, path, { method: 'POST', headers, body })).headers;
      const target = new URL(location, origin);
      t.ok([origin, 'https://idp.example'].includes(target.origin), `${path} ${location}`);
      t.notMatch(decodeURIComponent(location), /evil/);
    }
  }
  const { location } = (await ask(port, '/oauth/start', { headers: { host: '127.0.0.1:4444' } })).headers;
  t.equal(location, 'http://localhost:4444/oauth/start?credential=codex&moved=yes', 'a name of this machine alone');
});
