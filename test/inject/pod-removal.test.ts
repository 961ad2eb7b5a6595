// What uninject takes out, and what it leaves because it may be somebody else's.
import t from 'tap';
import { removeSidecar } from '../../src/inject/pod-removal.ts';
import { applied, inject, podWith, type TestPod } from './_pods.ts';

function uninjected(pod: TestPod): TestPod {
  const removal = removeSidecar(pod);
  if (removal.outcome !== 'removed') throw new Error(JSON.stringify(removal));
  return applied(pod, removal.edits);
}

t.test('a pod that has nothing of ours is not touched', (t) => {
  for (const pod of [podWith(), { spec: { containers: [{ name: 'app' }] } }, null, 1, {}]) {
    t.strictSame(removeSidecar(pod), { outcome: 'untouched' });
  }
  t.end();
});

t.test('a container of our name without a status is not ours', (t) => {
  t.match(removeSidecar(podWith({}, { containers: [{ name: 'sidebearer' }] })), {
    outcome: 'refused',
    reason: /not injected/,
  });
  t.match(removeSidecar(podWith({ status: 'scribble' })), { outcome: 'refused', reason: /not what inject wrote/ });
  for (const status of ['{}', '[]', '{"injected":"true"}']) {
    t.match(removeSidecar(podWith({ status }, { containers: [{ name: 'sidebearer' }] })), {
      outcome: 'refused',
      reason: /not what inject wrote/,
    });
  }
  t.match(removeSidecar({ ...podWith({ status: '{}' }), spec: 1 }), { outcome: 'refused', reason: /no spec/ });
  t.end();
});

t.test('what was changed since stays: a variable with another value, another time to end', (t) => {
  const { pod } = inject(podWith({ env: 'URL,OTHER' }));
  const [app] = pod.spec.containers;
  pod.spec.terminationGracePeriodSeconds = 100;
  for (const value of ['https://example.com', 'http://127.0.0.1:8080.example.com']) {
    if (app?.env?.[0] !== undefined) app.env[0].value = value;
    t.strictSame(uninjected(pod).spec.containers[0]?.env, [{ name: 'URL', value }]);
  }
  const restored = uninjected(pod);
  t.equal(restored.spec.terminationGracePeriodSeconds, 100);
  t.end();
});

t.test('lists of which only our entries are left are taken out whole', (t) => {
  const pod = podWith({ env: 'URL' }, { volumes: [] });
  const restored = uninjected(inject(pod).pod);
  t.notOk('initContainers' in restored.spec);
  t.notOk('volumes' in restored.spec, 'an empty list is the one thing that does not come back');
  t.notOk('env' in (restored.spec.containers[0] ?? {}));
  t.end();
});

t.test('the status of a refusal is taken out alone', (t) => {
  const own = [
    { hostNetwork: true },
    { volumes: [{ name: 'sidebearer-config' }] },
    { containers: [{ name: 'app' }, { name: 'sidebearer' }] },
    { initContainers: [{ name: 'sidebearer' }], volumes: [{ name: 'sidebearer-key' }] },
  ];
  for (const spec of own) {
    const pod = podWith({}, spec);
    const { outcome, pod: refused } = inject(pod);
    t.equal(outcome, 'refused');
    t.strictSame(uninjected(refused), pod, 'and nothing of its own with it');
  }
  t.end();
});
