import t from 'tap';
import { createConfigurationStanding } from '../../src/assembly/configuration-standing.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFakeClock } from '../_fake-clock.ts';

function create() {
  const clock = createFakeClock();
  const told: string[] = [];
  const inForce = { hash: 'first' };
  const observer = {
    applied: () => void told.push('applied'),
    refused: () => void told.push('refused'),
    unchanged: () => void told.push('unchanged'),
  };
  const standing = createConfigurationStanding(observer, () => inForce.hash, clock);
  const mistake = (setting: string) => ({
    error: new SidebearerError('config_value_invalid', { setting, line: 3, reason: 'SECRET' }),
    text: `config.yaml:3: ${setting}: SECRET`,
  });
  return { ...standing, clock, told, mistake, inForce };
}

t.test('what is in force is known since when; a certificate that is new counts as well', async (t) => {
  const { status, reloads, clock, inForce, told } = create();
  const startMs = clock.wallMs();
  t.strictSame(status(), { hash: 'first', readAtMs: startMs });
  await clock.advance(1_000);
  t.strictSame(status(), { hash: 'first', readAtMs: startMs });
  reloads.applied({ settings: [], files: ['/tls.crt'] });
  t.strictSame(status(), { hash: 'first', readAtMs: startMs + 1_000 });
  inForce.hash = 'second';
  t.equal(status().hash, 'first', 'not before it is told');
  reloads.applied({ settings: ['log.level'], files: [] });
  t.equal(status().hash, 'second');
  t.strictSame(told, ['applied', 'applied']);
});

t.test('what was refused stands until it is mended or taken back, by names and places alone', async (t) => {
  const { status, reloads, clock, told, mistake } = create();
  const startMs = clock.wallMs();
  await clock.advance(1_000);
  reloads.refused([mistake('routes[0].path'), mistake('')]);
  t.strictSame(status(), {
    hash: 'first',
    readAtMs: startMs,
    refused: {
      atMs: startMs + 1_000,
      mistakes: [
        { code: 'config_value_invalid', setting: 'routes[0].path', line: 3 },
        { code: 'config_value_invalid', line: 3 },
      ],
      more: 0,
    },
  });
  t.notMatch(JSON.stringify(status()), /SECRET/);
  reloads.unchanged();
  t.equal(status().refused, undefined);
  reloads.refused(Array.from({ length: 25 }, (_, index) => mistake(`routes[${index}].path`)));
  t.match(status().refused, { more: 5 });
  t.equal(status().refused?.mistakes.length, 20);
  reloads.applied({ settings: ['log.level'], files: [] });
  t.equal(status().refused, undefined);
  t.strictSame(told, ['refused', 'unchanged', 'refused', 'applied']);
});
