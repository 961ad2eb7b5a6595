// What a reload does to the figures, and what is told of it.
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createTestTelemetry } from './_telemetry.ts';

const end = { method: 'GET', status: 200, aborted: false, durationMs: 5, upstreamTtfbMs: 3 };

t.test('series of a route that is gone end with its last request', async (t) => {
  const { metrics, scrape } = await createTestTelemetry();
  metrics.requestBegan('api');
  await metrics.reconfigure({ routes: ['next'], perCredential: true, configHash: 'ffff0000' }, []);
  const routes = async (name: string): Promise<Set<string | undefined>> =>
    new Set((await scrape()).get(`sidebearer_${name}`)?.samples.map(({ labels }) => labels['route']));
  t.strictSame(await routes('requests_in_flight'), new Set(['api', 'next']));
  metrics.requestEnded({ ...end, route: 'api' });
  for (const name of ['requests_in_flight', 'upgrades_open', 'replays_total', 'upstream_ttfb_seconds']) {
    t.strictSame(await routes(name), new Set(['next']), name);
  }
  t.strictSame(await routes('requests_total'), new Set(['', 'next']));
  const info = (await scrape()).get('sidebearer_config_info')?.samples;
  t.match(info, [{ labels: { hash: 'ffff0000' }, value: 1 }]);
  t.equal(info?.length, 1);
});

t.test('series of a credential that is gone end at once, and do not come back with its last refresh', async (t) => {
  let isThere = true;
  const { metrics, scrape, text } = await createTestTelemetry({ hasCredential: () => isThere });
  metrics.tokenRequested('codex', 'refresh_token', '2xx');
  metrics.refreshEnded('codex', { trigger: 'schedule', outcome: 'refreshed', durationMs: 1 });
  metrics.loginEnded('codex', 'succeeded');
  metrics.failed(new SidebearerError('grant_revoked', { credential: 'codex' }));
  isThere = false;
  await metrics.reconfigure({ routes: ['api'], perCredential: false }, ['codex']);
  metrics.tokenRequested('codex', 'refresh_token', '2xx');
  metrics.refreshEnded('codex', {
    trigger: 'schedule',
    outcome: 'failed',
    durationMs: 1,
    error: new SidebearerError('grant_revoked', { credential: 'codex' }),
  });
  for (const family of (await scrape()).values()) {
    t.notOk(
      family.samples.some(({ labels }) => labels['credential'] === 'codex'),
      'no series of it',
    );
  }
  const errors = (await scrape()).get('sidebearer_errors_total')?.samples;
  t.equal(errors?.find(({ labels }) => labels['code'] === 'grant_revoked')?.value, 2, 'failures count all the same');
  t.equal(text(), '');
});

t.test(
  'a refusal is a line for each mistake, with its place, and one in sum; an applied change names what it is',
  async (t) => {
    const telemetry = await createTestTelemetry();
    const { reloads, scrape } = telemetry;
    const error = new SidebearerError('config_key_unknown', { setting: 'routes[0].upstrem', line: 3, column: 5 });
    reloads.refused([{ error, text: 'config.yaml:3:5: config_key_unknown: routes[0].upstrem: …' }]);
    reloads.applied({ settings: ['store.keys', 'log.level'], files: ['/etc/sidebearer/config.yaml'] });
    reloads.unchanged();
    t.match(telemetry.lines, [
      { level: 'error', event: 'config_refused', code: 'config_key_unknown', setting: 'routes[0].upstrem', line: 3 },
      { level: 'error', event: 'config_refused', mistakes: 1 },
      {
        level: 'info',
        event: 'config_reloaded',
        settings: 'store.keys, log.level',
        files: '/etc/sidebearer/config.yaml',
      },
      { level: 'info', event: 'config_unchanged' },
    ]);
    const families = await scrape();
    const reloadsTotal = families.get('sidebearer_config_reloads_total')?.samples;
    t.match(reloadsTotal, [
      { labels: { outcome: 'applied' }, value: 1 },
      { labels: { outcome: 'refused' }, value: 1 },
    ]);
  },
);
