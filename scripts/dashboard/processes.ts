// The row about the processes: what they write, by which configuration they go, what they cost.
import { pods, type Query, type Row, window } from './panel.ts';

/** Of any number of pods: a line for each of a thousand would tell nothing. */
function mostAndMedian(expr: string): Query[] {
  return [
    { expr: `max(${expr})`, legend: 'highest pod' },
    { expr: `quantile(0.5, ${expr})`, legend: 'median' },
  ];
}

export const processes: Row = {
  title: 'Store, configuration and processes',
  panels: [
    {
      title: 'Writes to the store',
      description: 'conflict: another replica was first, which is no failure. failed: see SidebearerStoreNotWritable.',
      kind: 'bars',
      unit: 'short',
      width: 6,
      queries: [
        {
          expr: `sum by (kind, outcome) (increase(sidebearer_store_writes_total{${pods}}${window})) > 0`,
          legend: '{{kind}} {{outcome}}',
        },
      ],
    },
    {
      title: 'Replicas by configuration',
      description:
        'By the hash of the active configuration: more than one beyond a rollout is a replica that kept the old.',
      kind: 'stack',
      unit: 'short',
      width: 6,
      queries: [{ expr: `count by (hash) (sidebearer_config_info{${pods}})`, legend: '{{hash}}' }],
    },
    {
      title: 'Changes of the configuration',
      description: 'refused: a mistake in it, and the old one goes on; the log names the setting (config_refused).',
      kind: 'bars',
      unit: 'short',
      width: 6,
      queries: [
        {
          expr: `sum by (outcome) (increase(sidebearer_config_reloads_total{${pods}}${window})) > 0`,
          legend: '{{outcome}}',
        },
      ],
    },
    {
      title: 'Replicas by version',
      description: 'Versions of Sidebearer and of Node.',
      kind: 'stack',
      unit: 'short',
      width: 6,
      queries: [
        {
          expr: `count by (version, node) (sidebearer_build_info{${pods}})`,
          legend: '{{version}} on {{node}}',
        },
      ],
    },
    {
      title: 'Starts',
      description: 'Processes that started anew. Each reads the store, and may wait for the lease of the one before.',
      kind: 'bars',
      unit: 'short',
      width: 6,
      queries: [{ expr: `sum(changes(process_start_time_seconds{${pods}}${window}))`, legend: 'starts' }],
    },
    {
      title: 'Memory',
      description: 'Resident. Near the container’s limit it ends with exit code 137.',
      kind: 'lines',
      unit: 'bytes',
      width: 6,
      queries: mostAndMedian(`process_resident_memory_bytes{${pods}}`),
    },
    {
      title: 'CPU',
      description: 'Share of one core. The proxy uses one: near 100 % more replicas are wanted.',
      kind: 'lines',
      unit: 'percentunit',
      width: 6,
      queries: mostAndMedian(`rate(process_cpu_seconds_total{${pods}}${window})`),
    },
    {
      title: 'Event loop lag, p99',
      description: 'What every request waits in addition. More than some tens of milliseconds: too little CPU.',
      kind: 'lines',
      unit: 's',
      width: 6,
      queries: mostAndMedian(`nodejs_eventloop_lag_p99_seconds{${pods}}`),
    },
  ],
};
