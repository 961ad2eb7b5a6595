// A changed configuration in running pods, on a real node: `helm upgrade` changes the ConfigMap, kubelet swaps what is
// mounted, and the processes take it, or refuse it, while requests go on.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { eventually } from '../system/_process.ts';
import { admin, kubectl } from './_cluster.ts';
import { startLoad } from './_load.ts';
import { startOutside } from './_outside.ts';
import {
  chart,
  createRestricted,
  folder,
  get,
  install,
  makeImage,
  type Pod,
  readyPods,
  skip,
  values,
} from './_pods.ts';

t.setTimeout(300_000);

const run = promisify(execFile);

const reloadsOf = async ({ status }: Pod, outcome: string): Promise<number> => {
  const metrics = await get(`http://${status.podIP}:9464/metrics`);
  return Number(
    new RegExp(`^sidebearer_config_reloads_total\\{outcome="${outcome}"\\} (\\d+)$`, 'm').exec(metrics)?.[1],
  );
};

t.test('a change of the ConfigMap is in force without a new pod and without a failed request', { skip }, async (t) => {
  await makeImage();
  const outside = await startOutside(t);
  const namespace = await createRestricted(t);
  const given = values(outside);
  await install(t, namespace, chart, given);
  const pods = await readyPods(namespace, 'app-sidebearer');
  const load = await startLoad(namespace, 'app-sidebearer', 8080, /^Bearer access-1$/);

  /** kubelet looks at a pod's volumes whenever the pod changes; left alone it takes up to a minute and a half. */
  const changed = async (what: string): Promise<void> => {
    for (const { metadata } of pods) {
      await kubectl('annotate', '-n', namespace, 'pod', metadata.name, `test/changed=${what}`, '--overwrite');
    }
  };
  const all = async (outcome: string, count: number): Promise<boolean | undefined> => {
    const counts = await Promise.all(pods.map((pod) => reloadsOf(pod, outcome)));
    return counts.every((each) => each >= count) || undefined;
  };

  const file = join(folder, 'upgrade.json');
  writeFileSync(file, JSON.stringify({ ...given, config: { ...given.config, log: { level: 'debug' } } }));
  await run('helm', ['upgrade', 'app', chart, '-n', namespace, '-f', file]);
  await changed('applied');
  await eventually('the change in every pod', () => all('applied', 1), 120_000);

  await admin('PATCH', `/api/v1/namespaces/${namespace}/configmaps/app-sidebearer`, {
    data: { 'config.yaml': 'routes: 7\n' },
  });
  await changed('refused');
  await eventually('the refusal in every pod', () => all('refused', 1), 120_000);
  await load.more(200);
  await load.stop();

  t.strictSame(load.failures, []);
  const now = await readyPods(namespace, 'app-sidebearer');
  const uids = (of: readonly Pod[]): string[] => of.map(({ metadata }) => metadata.uid).toSorted();
  t.strictSame(uids(now), uids(pods), 'the same pods');
  const log = await kubectl('logs', '-n', namespace, pods[0]?.metadata.name ?? '');
  t.match(log, /"event":"config_reloaded"/);
  t.match(log, /"event":"config_refused"/);
});
