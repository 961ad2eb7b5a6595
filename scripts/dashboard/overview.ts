// The first row: one number each, for who looks once.
import { ofCredential, ofRoute, pods, type Row, window } from './panel.ts';

const red = (from: number) => [
  { from: null, color: 'green' },
  { from, color: 'red' },
];

const failures = `sidebearer_errors_total{${pods},layer=~"proxy|refresh|store",code!~"request_.*|client_.*|route_unknown"}`;

export const overview: Row = {
  title: 'Overview',
  panels: [
    {
      title: 'Replicas',
      description: 'Processes that are scraped now; the injector is none.',
      kind: 'stat',
      unit: 'short',
      width: 4,
      queries: [{ expr: `count(sidebearer_config_info{${pods}})`, legend: '' }],
    },
    {
      title: 'Credentials that need a login',
      description: 'Dead or absent for at least one replica. A token in hand serves until it expires; then 503.',
      kind: 'stat',
      unit: 'short',
      width: 4,
      steps: red(1),
      queries: [
        {
          expr: `count(max by (namespace, credential) (sidebearer_credential_state{${ofCredential},state=~"absent|dead"}) == 1) or vector(0)`,
          legend: '',
        },
      ],
    },
    {
      title: 'Next token to expire',
      description:
        'Shortest time that any token in hand still serves. Below the lead of its refresh, refreshing fails.',
      kind: 'stat',
      unit: 's',
      width: 4,
      steps: [
        { from: null, color: 'red' },
        { from: 900, color: 'green' },
      ],
      queries: [{ expr: `min(sidebearer_token_expiry_timestamp_seconds{${ofCredential}}) - time()`, legend: '' }],
    },
    {
      title: 'Tokens not yet durable',
      description: 'A refreshed token serves from memory alone. Do not restart pods while this is not 0.',
      kind: 'stat',
      unit: 'short',
      width: 4,
      steps: red(1),
      queries: [{ expr: `sum(sidebearer_store_dirty{${ofCredential}})`, legend: '' }],
    },
    {
      title: 'Requests',
      description: 'Requests that ended, over all routes that are chosen.',
      kind: 'stat',
      unit: 'reqps',
      width: 4,
      queries: [{ expr: `sum(rate(sidebearer_requests_total{${ofRoute}}${window}))`, legend: '' }],
    },
    {
      title: 'Failures that are not the client’s',
      description: 'Share of requests, as the alert SidebearerErrorBudgetBurn counts it: red from where that rings.',
      kind: 'stat',
      unit: 'percentunit',
      width: 4,
      steps: [
        { from: null, color: 'green' },
        { from: 0.001, color: 'orange' },
        { from: 0.0144, color: 'red' },
      ],
      queries: [
        {
          expr: `sum(rate(${failures}${window})) / (sum(rate(sidebearer_requests_total{${pods}}${window})) > 0)`,
          legend: '',
        },
      ],
    },
  ],
};
