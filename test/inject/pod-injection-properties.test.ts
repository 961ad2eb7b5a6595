// What holds for every pod, however odd.
import fc from 'fast-check';
import t from 'tap';
import { annotationDefinitions } from '../../src/inject/annotations.ts';
import { injectPod } from '../../src/inject/pod-injection.ts';
import { removeSidecar } from '../../src/inject/pod-removal.ts';
import { applied, inject, options, sidecarOf, type TestContainer, type TestPod } from './_pods.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}[a-z0-9]$/).filter((text) => text !== 'sidebearer');
const variable = fc.record({ name: fc.constantFrom('URL', 'OTHER', 'A', 'B'), value: fc.string() });

const container = fc.record(
  {
    name,
    image: fc.string(),
    env: fc.array(variable, { minLength: 1, maxLength: 4 }),
    ports: fc.array(fc.record({ containerPort: fc.constantFrom(80, 81, 82, 83, 8080, 1455, 9464, 3000) }), {
      maxLength: 2,
    }),
    restartPolicy: fc.constant('Always'),
  },
  { requiredKeys: ['name'] },
);
const uniqueContainers = fc.uniqueArray(container, { minLength: 1, maxLength: 4, selector: (each) => each.name });

/** Values that are right, and now and then one that is not. */
const mostly = (right: readonly string[], wrong: string): fc.Arbitrary<string> =>
  fc.oneof({ weight: 15, arbitrary: fc.constantFrom(...right) }, fc.constant(wrong));

const annotations = fc.record(
  {
    inject: fc.oneof({ weight: 6, arbitrary: fc.constant('config') }, fc.constantFrom('false', '', 'Wrong', 'true')),
    env: mostly(['URL', 'URL,OTHER=/v1'], '1X'),
    containers: fc.constantFrom('app', 'a,b'),
    sidecar: mostly(['native', 'container'], 'x'),
    'proxy-port': mostly(['18080'], '0'),
    'memory-limit': mostly(['32Mi', '1Gi'], 'x'),
    secrets: fc.constantFrom('one', 'one,two'),
    quit: fc.constantFrom('true', 'false'),
    'termination-grace-seconds': fc.constantFrom('0', '30', '120'),
    unknwon: fc.constant('x'),
  },
  { requiredKeys: [] },
);

const pods: fc.Arbitrary<TestPod> = fc
  .record({
    annotations,
    containers: uniqueContainers,
    initContainers: fc.option(uniqueContainers, { nil: undefined }),
    volumes: fc.option(fc.uniqueArray(fc.record({ name }), { minLength: 1, maxLength: 3, selector: (v) => v.name }), {
      nil: undefined,
    }),
    grace: fc.option(fc.nat(200), { nil: undefined }),
    hostNetwork: fc.nat(15).map((n) => n === 0),
  })
  .map(({ annotations, containers, initContainers, volumes, grace, hostNetwork }) => {
    const names = new Set(containers.map((each) => each.name));
    const others = initContainers?.filter((each) => !names.has(each.name)) ?? [];
    return {
      metadata: {
        annotations: Object.fromEntries(Object.entries(annotations).map(([key, v]) => [`sidebearer.dev/${key}`, v])),
      },
      spec: {
        containers: containers as TestContainer[],
        ...(others.length > 0 && { initContainers: others as TestContainer[] }),
        ...(volumes !== undefined && { volumes }),
        ...(grace !== undefined && { terminationGracePeriodSeconds: grace }),
        ...(hostNetwork && { hostNetwork }),
      },
    };
  });

t.test('whatever stands there, it never throws, and what is no pod is never changed but for the status', (t) => {
  const key = fc.constantFrom(
    'metadata',
    'spec',
    'containers',
    'initContainers',
    'volumes',
    'env',
    'name',
    'annotations',
  );
  const { thing } = fc.letrec((tie) => ({
    thing: fc.oneof(
      { maxDepth: 6 },
      fc.jsonValue(),
      fc.array(tie('thing'), { maxLength: 3 }),
      fc.dictionary(key, tie('thing'), { maxKeys: 4 }),
    ),
  }));
  const asked = fc.tuple(thing, fc.dictionary(fc.constantFrom(...Object.keys(annotationDefinitions)), fc.string()));
  fc.assert(
    fc.property(asked, ([spec, given]) => {
      const own = Object.entries(given).map(([each, value]) => [`sidebearer.dev/${each}`, value]);
      const metadata = { annotations: { ...Object.fromEntries(own), 'sidebearer.dev/inject': 'config' } };
      for (const pod of [{ metadata, spec }, spec, { metadata: spec, spec }]) {
        const { edits } = injectPod(pod, options);
        applied(pod, edits);
        removeSidecar(pod);
      }
    }),
    { numRuns: 2_000 },
  );
  t.end();
});

t.test('what is injected has the sidecar once, loses nothing, and is not injected again', (t) => {
  let count = 0;
  fc.assert(
    fc.property(pods, (pod) => {
      const before = structuredClone(pod);
      const { outcome, pod: after, edits } = inject(pod);
      if (JSON.stringify(pod) !== JSON.stringify(before)) throw new Error('the pod itself was changed');
      if (outcome === 'untouched') return edits.length === 0;
      if (outcome !== 'injected') return sidecarOf(after) === undefined;
      count += 1;
      const names = [...after.spec.containers, ...(after.spec.initContainers ?? [])].map((each) => each.name);
      const volumes = (after.spec.volumes ?? []).map((each) => each.name);
      const again = inject(after);
      return (
        sidecarOf(after) !== undefined &&
        new Set(names).size === names.length &&
        new Set(volumes).size === volumes.length &&
        again.outcome === 'already' &&
        again.edits.length === 0
      );
    }),
    { numRuns: 2_000 },
  );
  t.ok(count > 100, `${count} were injected`);
  t.end();
});

t.test('uninject undoes inject, exactly', (t) => {
  fc.assert(
    fc.property(pods, (pod) => {
      const { outcome, pod: after } = inject(pod);
      const removal = removeSidecar(after);
      if (removal.outcome === 'refused') return false;
      t.equal(removal.outcome === 'removed', outcome === 'injected' || outcome === 'refused');
      const restored = removal.outcome === 'removed' ? applied(after, removal.edits) : after;
      return JSON.stringify(sorted(restored)) === JSON.stringify(sorted(pod));
    }),
    { numRuns: 2_000 },
  );
  t.end();
});

/** The order of keys says nothing; that of lists does. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, sorted(each)]));
}
