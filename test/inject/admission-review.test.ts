// What the webhook answers: whatever is asked, no object is refused, and what cannot be understood is told as such.
import t from 'tap';
import { review } from '../../src/inject/admission-review.ts';
import { type Injection, injectPod } from '../../src/inject/pod-injection.ts';
import { options, podWith } from './_pods.ts';
import { type AdmissionAnswer, reviewOf } from './_review.ts';

const inject = (pod: unknown): Injection => injectPod(pod, options);
const answerOf = (text: string) => review(text, inject).answer as AdmissionAnswer;

t.test('a pod that asks gets a patch, with the uid of the request', (t) => {
  const { response, kind, apiVersion } = answerOf(reviewOf(podWith()));
  t.match([kind, apiVersion], ['AdmissionReview', 'admission.k8s.io/v1']);
  t.match(response, { uid: 'review-1', allowed: true, patchType: 'JSONPatch' });
  const patch = JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString()) as { op: string; path: string }[];
  t.ok(patch.some(({ path }) => path.startsWith('/spec/initContainers')));
  t.ok(patch.some(({ path }) => path === '/metadata/annotations/sidebearer.dev~1status'));
  t.end();
});

t.test('one that does not ask gets leave and nothing else', (t) => {
  t.strictSame(answerOf(reviewOf({ metadata: {}, spec: { containers: [{ name: 'a' }] } })).response, {
    uid: 'review-1',
    allowed: true,
  });
  t.end();
});

t.test('what is no creation of a pod is let in, with a warning for whoever wrote the rules', (t) => {
  const others: Readonly<Record<string, unknown>>[] = [
    { operation: 'UPDATE' },
    { operation: 'DELETE', object: null },
    { kind: { group: 'apps', version: 'v1', kind: 'Deployment' } },
    { subResource: 'ephemeralcontainers' },
    { kind: { group: 'example.com', version: 'v1', kind: 'Pod' } },
    { kind: { group: '', version: 'v2', kind: 'Pod' } },
    { kind: { group: '', version: 'v1', kind: 'B\u{e4}r\r\nx: y' } },
    { kind: undefined },
  ];
  for (const more of others) {
    const { outcome, answer } = review(reviewOf(podWith(), more), inject);
    t.equal(outcome, 'ignored', JSON.stringify(more));
    t.match((answer as AdmissionAnswer).response, {
      allowed: true,
      warnings: [/^sidebearer: only the creation of pods [\x20-\x7e]+$/],
    });
    t.notOk((answer as AdmissionAnswer).response.patch);
  }
  t.end();
});

t.test(
  'what a log line shows of a pod: its name, or what it will be made of, and nothing that could break the line',
  (t) => {
    const shownOf = (pod: object, more: object = {}) => {
      const { namespace, pod: name, isDryRun } = review(reviewOf(pod, { ...more }), inject);
      return [namespace, name, isDryRun];
    };
    const { spec } = podWith();
    t.strictSame(shownOf(podWith(), { dryRun: true }), ['team-a', 'app', true]);
    t.strictSame(shownOf({ metadata: { generateName: 'web-' }, spec }), ['team-a', 'web-*', false]);
    t.strictSame(shownOf({ metadata: {}, spec }, { name: 'given', dryRun: 'yes' }), ['team-a', 'given', false]);
    t.strictSame(shownOf({ spec }, { namespace: undefined, name: 7 }), ['', '', false]);
    t.strictSame(shownOf({ metadata: { name: 'a\r\nb' } }, { namespace: 'c\n' }), ['c?', 'a??b', false]);
    t.end();
  },
);

t.test('a dry run is answered like any other', (t) => {
  t.strictSame(answerOf(reviewOf(podWith(), { dryRun: true })), answerOf(reviewOf(podWith())));
  t.end();
});

t.test('a creation without a pod, or with something else in its place, gets leave', (t) => {
  for (const object of [null, undefined, 7, 'pod', []]) {
    t.strictSame(answerOf(reviewOf(object)).response, { uid: 'review-1', allowed: true });
  }
  t.end();
});

t.test('what is no review is admission_request_invalid', (t) => {
  const bad = [
    '',
    'null',
    '[]',
    '{}',
    '{"kind":"AdmissionReview"}',
    reviewOf({}).replace('admission.k8s.io/v1', 'admission.k8s.io/v1beta1'),
    reviewOf({}).replace('"AdmissionReview"', '"Pod"'),
    reviewOf({}, { uid: '' }),
    reviewOf({}, { uid: 7 }),
    '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":[]}',
  ];
  for (const text of bad) t.throws(() => review(text, inject), { code: 'admission_request_invalid' }, text);
  t.end();
});

t.test('an injection that throws lets the pod in, says so, and keeps the fault', (t) => {
  const fault = new Error('secret detail');
  const {
    outcome,
    answer,
    fault: kept,
  } = review(reviewOf(podWith()), () => {
    throw fault;
  });
  t.equal(outcome, 'failed');
  t.equal(kept, fault);
  t.match((answer as AdmissionAnswer).response, { allowed: true, warnings: [/internal_error/] });
  t.notMatch(JSON.stringify(answer), 'secret detail');
  t.end();
});

t.test('warnings stay within what the API server passes on', (t) => {
  const pod = podWith({
    ...Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x${i}${'y'.repeat(90)}`, '1'])),
  });
  const { warnings = [] } = answerOf(reviewOf(pod)).response;
  t.ok(warnings.length > 0);
  for (const warning of warnings) t.ok(warning.length <= 256);
  t.ok(warnings.join('').length <= 4_096);
  t.end();
});
