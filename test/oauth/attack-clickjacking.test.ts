// Mallory's page shows ours in a frame that nobody sees, above a button of his own: the admin clicks on his and hits
// "Log out now", or starts a login. Our pages are in nobody's frame (RFC 9700, section 4.16).
import t from 'tap';
import { openBrowser, skip } from '../_chromium.ts';
import { withDevice } from './_device.ts';
import { startElsewhere } from './_elsewhere.ts';
import { ask, createFakeCredential, startPort } from './_fakes.ts';

const paths = ['/', '/?refresh=off', '/oauth/start', '/oauth/device?credential=codex', '/oauth/callback', '/nowhere'];

t.test('every page forbids frames, in the new way and in the old one', async (t) => {
  const { port } = await startPort(t, [withDevice(createFakeCredential())]);
  for (const path of [...paths, '/status.json', '/cancel']) {
    const { headers } = await ask(port, path);
    t.match(headers['content-security-policy'], /(?:^|; )frame-ancestors 'none'(?:;|$)/, path);
    t.equal(headers['x-frame-options'], 'DENY', path);
    t.equal(headers['cross-origin-opener-policy'], 'same-origin', path);
  }
});

t.test('a browser shows none of them in a frame, even of the same site', { skip }, async (t) => {
  const { port } = await startPort(t, [withDevice(createFakeCredential())]);
  const frames = paths.map((path) => `<iframe src="http://localhost:${port}${path}" title="x"></iframe>`).join('');
  const { page, close } = await openBrowser();
  t.teardown(close);
  for (const name of ['localhost', '127.0.0.1'] as const) {
    await page.goto(await startElsewhere(t, frames, name), { waitUntil: 'networkidle' });
    const shown = await Promise.all(
      page
        .frames()
        .slice(1)
        .map((frame) => frame.evaluate('document.querySelectorAll("form, button, a, main").length')),
    );
    t.strictSame(shown, new Array(paths.length).fill(0), name);
  }
});
