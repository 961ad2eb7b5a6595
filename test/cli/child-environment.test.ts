// What the browser, and kubectl with its plugins, inherit of a command's environment.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openBrowser } from '../../src/cli/open-browser.ts';

t.test('the browser is given no variable of ours, and all others', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const told = join(folder, 'told');
  process.env['SIDEBEARER_ADMIN_TOKEN'] = 'S3cr3t';
  t.teardown(() => {
    delete process.env['SIDEBEARER_ADMIN_TOKEN'];
  });
  // The launcher keeps no process waiting for it.
  const waiting = setInterval(() => undefined, 1_000);
  t.teardown(() => clearInterval(waiting));
  // `-e` takes the address for an argument of the script.
  const script = `require('node:fs').writeFileSync(${JSON.stringify(told)}, JSON.stringify(process.env))`;
  t.ok(await openBrowser([process.execPath, '-e', script, '--'], 'http://localhost/'));
  // A launcher counts as good after some seconds, whether it is done or not.
  const env = await eventually(() => JSON.parse(readFileSync(told, 'utf8')) as Record<string, string>);
  t.equal(env['SIDEBEARER_ADMIN_TOKEN'], undefined);
  t.equal(env['PATH'], process.env['PATH']);
});

async function eventually<T>(look: () => T): Promise<T> {
  for (let round = 0; ; round += 1) {
    try {
      return look();
    } catch (thrown) {
      if (round > 500) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
