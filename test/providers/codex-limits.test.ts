// What the Codex upstream, and any other, tells of limits; nonsense tells nothing, and nothing foreign comes out.
import fc from 'fast-check';
import t from 'tap';
import { createCodexLimits } from '../../src/providers/codex-limits.ts';
import { createUpstreamLimits } from '../../src/providers/upstream-limits.ts';
import { createFakeClock } from '../_fake-clock.ts';

const clock = createFakeClock(1_800_000_000_000);
const codex = createCodexLimits(clock);
const json = ['Content-Type', 'application/json'];

t.test('any upstream: 429, with Retry-After as seconds, as a date, or nonsense', (t) => {
  const { head, hasMore } = createUpstreamLimits(clock);
  const date = new Date(clock.wallMs() + 90_000).toUTCString();
  t.strictSame(head(429, ['Retry-After', '7']), { isQuota: false, forMs: 7_000 });
  t.strictSame(head(429, ['retry-after', date]), { isQuota: false, forMs: 90_000 });
  for (const value of ['', 'soon', '-1', '1e9', '0'])
    t.strictSame(head(429, ['Retry-After', value]), { isQuota: false }, value);
  for (const status of [200, 402, 403, 503]) t.equal(head(status, ['Retry-After', '7']), undefined, String(status));
  t.notOk(hasMore(429, json));
  t.end();
});

t.test('codex: the shares of both quotas, from the headers of any answer', (t) => {
  const quota = (...raw: string[]) => codex.quota?.(raw);
  t.strictSame(quota('X-Codex-Primary-Used-Percent', '37', 'x-codex-secondary-used-percent', '12.5'), {
    primary: 0.37,
    secondary: 0.125,
  });
  t.strictSame(quota('x-codex-primary-used-percent', '101'), { primary: 1.01 });
  for (const value of ['', 'x', '-1', 'NaN', '1e400', '9'.repeat(30)]) {
    t.equal(quota('x-codex-primary-used-percent', value), undefined, value);
  }
  t.equal(quota('x-codex-primary-window-minutes', '300', 'Content-Type', 'text/html'), undefined);
  t.end();
});

t.test('codex: the head of an error', (t) => {
  const full = ['x-codex-primary-used-percent', '100', 'x-codex-primary-reset-after-seconds', '1800'];
  const table: [status: number, raw: string[], limit: unknown][] = [
    [429, [], { isQuota: false }],
    [429, ['Retry-After', '30', ...full], { isQuota: false, forMs: 30_000 }],
    [429, full, { isQuota: true, forMs: 1_800_000 }],
    [429, ['x-codex-secondary-used-percent', '99', 'x-codex-secondary-reset-after-seconds', '5'], { isQuota: false }],
    [402, [], { isQuota: true }],
    [403, full, undefined],
    [500, full, undefined],
  ];
  for (const [status, raw, limit] of table) t.strictSame(codex.head(status, raw), limit, `${status} ${raw.join(' ')}`);
  t.end();
});

t.test('codex: which errors have more to tell', (t) => {
  const table: [status: number, raw: string[], hasMore: boolean][] = [
    [429, json, true],
    [403, ['content-type', 'application/problem+json; charset=utf-8'], true],
    [402, [...json, 'Content-Encoding', 'identity'], true],
    [429, [...json, 'Content-Encoding', 'gzip'], false],
    [429, ['Content-Type', 'text/html'], false],
    [429, [], false],
    [200, json, false],
    [401, json, false],
    [502, json, false],
  ];
  for (const [status, raw, hasMore] of table)
    t.equal(codex.hasMore(status, raw), hasMore, `${status} ${raw.join(' ')}`);
  t.end();
});

t.test('codex: the error’s code, wherever it stands, and the moment of the reset', (t) => {
  const now = clock.wallMs() / 1_000;
  const table: [document: unknown, limit: unknown][] = [
    [{ error: { type: 'usage_limit_reached', resets_in_seconds: 60 } }, { isQuota: true, forMs: 60_000 }],
    [{ error: { type: 'usage_limit_reached', resets_at: now + 90 } }, { isQuota: true, forMs: 90_000 }],
    [
      { error: { code: 'INSUFFICIENT_QUOTA' }, resets_in_seconds: '5' },
      { isQuota: true, forMs: 5_000 },
    ],
    [{ code: 'billing_hard_limit_reached' }, { isQuota: true }],
    [{ error: 'usage_limit_reached' }, { isQuota: true }],
    [{ error: { type: 'usage_limit_reached', resets_at: now - 90 } }, { isQuota: true }],
    [{ error: { type: 'usage_limit_reached', resets_in_seconds: -1, resets_at: 'soon' } }, { isQuota: true }],
    [{ error: { type: 'rate_limit_exceeded', resets_in_seconds: 60 } }, undefined],
    [{ message: 'usage_limit_reached' }, undefined],
    [['usage_limit_reached'], undefined],
    [null, undefined],
  ];
  for (const [document, limit] of table) {
    t.strictSame(codex.body(JSON.stringify(document)), limit, JSON.stringify(document));
  }
  t.equal(codex.body('{"error":{"type":"usage_limit_reached"'), undefined, 'cut');
  t.end();
});

t.test('whatever a body says, numbers alone come out', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      const limit = codex.body(text);
      if (limit?.forMs !== undefined && !(limit.forMs > 0 && Number.isFinite(limit.forMs)))
        throw new Error('no duration');
    }),
  );
  t.end();
});
