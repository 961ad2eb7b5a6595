import { register } from 'prom-client';
import t from 'tap';
import { publishedStates } from '../../src/credentials/bearer.ts';
import { catalogue, errorCodes } from '../../src/errors/catalogue.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { type MetricDefinition, metricDefinitions } from '../../src/telemetry/metric-definitions.ts';
import { createBusyTelemetry, ended } from './_busy.ts';
import { seriesValue } from './_exposition.ts';
import { createTestTelemetry, credentialStatus, visitor } from './_telemetry.ts';

const definitions: readonly MetricDefinition[] = Object.values(metricDefinitions);
t.test('the exposition parses, and names, types, helps and labels are those of the table', async (t) => {
  const families = await (await createBusyTelemetry()).scrape();
  for (const { name, type, help, labels } of definitions) {
    const family = families.get(name);
    t.equal(family?.type, type, name);
    t.equal(family?.help, help, name);
    t.ok(family !== undefined && family.samples.length > 0, `${name} has a series`);
    for (const sample of family?.samples ?? []) {
      const names = Object.keys(sample.labels).filter((label) => label !== 'le');
      t.strictSame(names.sort(), [...labels].sort(), name);
    }
  }
  const known = new Set<string>(definitions.map(({ name }) => name));
  for (const name of families.keys()) t.ok(known.has(name) || /^(process|nodejs)_/.test(name), name);
  t.ok(families.has('process_cpu_seconds_total'), "prom-client's own are there");
  t.strictSame(register.getMetricsAsArray(), [], 'the global registry stays empty');
});

t.test('the values are those that happened', async (t) => {
  const families = await (await createBusyTelemetry()).scrape();
  const credential = 'codex';
  const expected: [string, Record<string, string>, number | undefined][] = [
    ['build_info', { version: '1.2.3', node: 'v24.0.0' }, 1],
    ['config_info', { hash: '0123abcd' }, 1],
    ['requests_total', { route: 'api', status_class: '2xx' }, 1],
    ['requests_total', { route: 'api', status_class: '5xx' }, 0],
    ['requests_total', { route: '', status_class: '4xx' }, 1],
    ['request_duration_seconds_sum', { route: 'api' }, 0.02],
    ['upstream_ttfb_seconds_bucket', { route: 'api', le: '0.01' }, 1],
    ['upstream_ttfb_seconds_bucket', { route: 'api', le: '0.005' }, 0],
    ['requests_in_flight', { route: 'api' }, 1],
    ['requests_waiting', { credential }, 3],
    ['upgrades_open', { route: 'api' }, 1],
    ['replays_total', { route: 'api', outcome: 'accepted' }, 1],
    ['replays_total', { route: 'api', outcome: 'refused_again' }, 0],
    ['errors_total', { layer: 'proxy', code: 'route_unknown' }, 1],
    ['errors_total', { layer: 'refresh', code: 'token_endpoint_failing' }, 1],
    ['credential_errors_total', { credential, code: 'token_endpoint_failing' }, 1],
    ['refreshes_total', { credential, trigger: 'demand', outcome: 'failed' }, 1],
    ['refresh_duration_seconds_count', { credential }, 1],
    ['token_requests_total', { credential, grant: 'authorization_code', result: '5xx' }, 1],
    ['token_expiry_timestamp_seconds', { credential }, 1_800_000_060],
    ['grant_expiry_timestamp_seconds', { credential }, 1_900_000_000],
    ['refresh_due_timestamp_seconds', { credential }, 1_800_000_030.5],
    ['cooldown_end_timestamp_seconds', { credential }, 1_800_000_300],
    ['breaker_state', { endpoint: 'https://idp.test/token', egress: 'direct', state: 'open' }, 1],
    ['breaker_state', { endpoint: 'https://idp.test/token', egress: 'direct', state: 'closed' }, 0],
    ['store_writes_total', { kind: 'file', outcome: 'committed' }, 1],
    ['store_writes_total', { kind: 'file', outcome: 'failed' }, 0],
    ['store_dirty', { credential }, 1],
    ['upstream_quota_used_ratio', { credential, window: 'primary' }, 0.5],
    ['upstream_quota_used_ratio', { credential, window: 'secondary' }, 1.25],
    ['logins_total', { credential, outcome: 'succeeded' }, 1],
  ];
  for (const [name, labels, value] of expected) {
    t.equal(seriesValue(families, `sidebearer_${name}`, labels), value, `${name} ${JSON.stringify(labels)}`);
  }
  for (const state of publishedStates) {
    const value = seriesValue(families, 'sidebearer_credential_state', { credential, state });
    t.equal(value, state === 'cooling' ? 1 : 0, state);
  }
});

t.test('the end of a rest is the end of a cooldown, whatever the state', async (t) => {
  const resting = { code: 'upstream_limited', untilMs: 1_800_000_090_000 } as const;
  const credentials = () => [{ ...credentialStatus('codex'), state: 'fresh' as const, resting }];
  const families = await (await createTestTelemetry({ credentials })).scrape();
  const series = 'sidebearer_cooldown_end_timestamp_seconds';
  t.equal(seriesValue(families, series, { credential: 'codex' }), 1_800_000_090);
});

t.test('every code of the catalogue is exported with 0 at the start, no credential has a series yet', async (t) => {
  const families = await (await createTestTelemetry()).scrape();
  for (const code of errorCodes) {
    t.equal(seriesValue(families, 'sidebearer_errors_total', { layer: catalogue[code].layer, code }), 0, code);
  }
  t.equal(families.get('sidebearer_errors_total')?.samples.length, errorCodes.length);
  t.strictSame(families.get('sidebearer_credential_errors_total')?.samples, []);
});

t.test('a status decides the class; who left early is aborted, whatever the status', async (t) => {
  const { proxy, scrape } = await createTestTelemetry();
  const cases: [number, boolean, string][] = [
    [101, false, '1xx'],
    [204, false, '2xx'],
    [307, false, '3xx'],
    [499, false, '4xx'],
    [599, false, '5xx'],
    [0, true, 'aborted'],
    [200, true, 'aborted'],
    [999, false, 'aborted'],
  ];
  for (const [status, aborted] of cases) {
    proxy.requestBegan('api');
    proxy.requestEnded({ ...ended, status, aborted });
  }
  const families = await scrape();
  const count = (status_class: string) =>
    seriesValue(families, 'sidebearer_requests_total', { route: 'api', status_class });
  t.strictSame(['1xx', '2xx', '3xx', '4xx', '5xx', 'aborted'].map(count), [1, 1, 1, 1, 1, 3]);
  t.equal(seriesValue(families, 'sidebearer_requests_in_flight', { route: 'api' }), 0);
  t.equal(
    seriesValue(families, 'sidebearer_request_duration_seconds_count', { route: 'api' }),
    7,
    'an upgraded connection has no duration',
  );
});

t.test('a name that a stranger sent never becomes a label', async (t) => {
  const { logins, credentials, scrape } = await createTestTelemetry();
  for (let i = 0; i < 50; i += 1) {
    const error = new SidebearerError('credential_unknown', { credential: `evil-${i}` });
    logins.loginFailed(error, visitor, `evil-${i}`);
    logins.refused(error, visitor);
    credentials.failed(error, `evil-${i}`);
  }
  const families = await scrape();
  for (const { samples } of families.values()) {
    for (const { labels } of samples) t.notMatch(JSON.stringify(labels), /evil/);
  }
  t.equal(seriesValue(families, 'sidebearer_errors_total', { layer: 'authorize', code: 'credential_unknown' }), 150);
  t.equal(seriesValue(families, 'sidebearer_logins_total', { credential: '', outcome: 'credential_unknown' }), 50);
});

t.test('above the limit the gauges of credentials are off and their state is not even asked for', async (t) => {
  let asked = 0;
  const credentials = () => {
    asked += 1;
    return [credentialStatus('codex')];
  };
  const { scrape } = await createTestTelemetry({
    active: { routes: ['api'], perCredential: false },
    credentials,
  });
  const families = await scrape();
  t.equal(asked, 0);
  for (const name of ['credential_state', 'token_expiry_timestamp_seconds', 'requests_waiting', 'store_dirty']) {
    t.strictSame(families.get(`sidebearer_${name}`)?.samples, [], name);
  }
});

t.test('a credential that is gone or no longer cooling leaves no gauge behind', async (t) => {
  let statuses = [credentialStatus('codex', { state: 'cooling', coolingUntilMs: 5_000, expiresAtMs: 9_000 })];
  const { scrape } = await createTestTelemetry({ credentials: () => statuses });
  const end = async () =>
    seriesValue(await scrape(), 'sidebearer_cooldown_end_timestamp_seconds', { credential: 'codex' });
  t.equal(await end(), 5);
  statuses = [credentialStatus('codex', { coolingUntilMs: 5_000 })];
  t.equal(await end(), undefined);
  statuses = [];
  t.strictSame((await scrape()).get('sidebearer_credential_state')?.samples, []);
});

t.test('a time without end is no number and is left out', async (t) => {
  const { scrape } = await createTestTelemetry({
    credentials: () => [credentialStatus('codex', { refreshDueAtMs: Number.POSITIVE_INFINITY })],
  });
  t.strictSame((await scrape()).get('sidebearer_refresh_due_timestamp_seconds')?.samples, []);
});

t.test('the table keeps to Prometheus: base units, _total on counters, buckets that rise', async (t) => {
  for (const { name, type, labels, help, buckets } of definitions) {
    t.match(name, /^sidebearer_[a-z]+(_[a-z]+)*$/);
    t.equal(name.endsWith('_total'), type === 'counter', name);
    t.equal(buckets !== undefined, type === 'histogram', name);
    t.strictSame(buckets, buckets && [...buckets].sort((a, b) => a - b));
    t.notMatch(name, /_(ms|milliseconds|minutes|kb|mb)(_|$)/);
    t.match(help, /\.$/);
    t.strictSame(
      labels.filter((label) => /path|url|host|account|message|user|id$/.test(label)),
      [],
    );
  }
  t.equal(new Set(definitions.map(({ name }) => name)).size, definitions.length);
});
