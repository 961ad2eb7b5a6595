import { Histogram, Registry } from 'prom-client';
import t from 'tap';
import { LiveHistogram } from '../../src/telemetry/live-histogram.ts';

const definition = {
  name: 'sidebearer_sidebearer_test_seconds',
  type: 'histogram',
  help: 'For this test',
  labels: ['route'],
  buckets: [0.001, 0.01, 1],
} as const;

t.test("its text is that of prom-client's own, value for value", async (t) => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const live = new LiveHistogram(definition, ours);
  const { name, help, labels, buckets } = definition;
  const own = new Histogram({ name, help, labelNames: labels, buckets: [...buckets], registers: [theirs] });
  for (const route of ['api', 'a "quoted" one', '']) {
    const series = live.series(route);
    own.zero({ route });
    t.equal(live.series(route), series, 'a label value has one series');
  }
  t.equal(await ours.metrics(), await theirs.metrics(), 'before the first observation');
  for (const value of [0, 0.001, 0.0010001, 0.01, 0.5, 1, 1.5, 3600, 0.25]) {
    live.series('api').observe(value);
    own.observe({ route: 'api' }, value);
  }
  live.series('').observe(0.002);
  own.observe({ route: '' }, 0.002);
  t.equal(await ours.metrics(), await theirs.metrics());
});
