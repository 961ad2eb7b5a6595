// The row about what passes through the proxy.
import { ofRoute, pods, quantiles, type Row, window } from './panel.ts';

export const requests: Row = {
  title: 'Requests',
  panels: [
    {
      title: 'Requests by route and status',
      description: 'Status of the answer, from the upstream or from Sidebearer. The route is empty where none matched.',
      kind: 'stack',
      unit: 'reqps',
      width: 12,
      queries: [
        {
          expr: `sum by (route, status_class) (rate(sidebearer_requests_total{${ofRoute}}${window})) > 0`,
          legend: '{{route}} {{status_class}}',
        },
      ],
    },
    {
      title: 'Failures by code',
      description: 'All that Sidebearer counts, requests or not: docs/errors.md has the next step of each code.',
      kind: 'stack',
      unit: 'ops',
      width: 12,
      queries: [
        {
          expr: `sum by (layer, code) (rate(sidebearer_errors_total{${pods}}${window})) > 0`,
          legend: '{{layer}} {{code}}',
        },
      ],
    },
    {
      title: 'Duration of requests',
      description: 'From the head of the request to the end of the answer: streams are as long as they are.',
      kind: 'lines',
      unit: 's',
      width: 8,
      queries: quantiles('sidebearer_request_duration_seconds', 'route', ofRoute),
    },
    {
      title: 'Time to the upstream’s first byte',
      description:
        'From the request sent. What is not in it, but in the duration, is waiting, the answer, or the client.',
      kind: 'lines',
      unit: 's',
      width: 8,
      queries: quantiles('sidebearer_upstream_ttfb_seconds', 'route', ofRoute),
    },
    {
      title: 'Aborted',
      description: 'A side left before the answer had ended.',
      kind: 'lines',
      unit: 'reqps',
      width: 8,
      queries: [
        {
          expr: `sum by (route) (rate(sidebearer_requests_total{${ofRoute},status_class="aborted"}${window}))`,
          legend: '{{route}}',
        },
      ],
    },
    {
      title: 'In flight',
      description: 'Requests at work now; limits.inFlight is for each process.',
      kind: 'lines',
      unit: 'short',
      width: 8,
      queries: [{ expr: `sum by (route) (sidebearer_requests_in_flight{${ofRoute}})`, legend: '{{route}}' }],
    },
    {
      title: 'Upgraded connections',
      description: 'WebSockets and others that are open now.',
      kind: 'lines',
      unit: 'short',
      width: 8,
      queries: [{ expr: `sum by (route) (sidebearer_upgrades_open{${ofRoute}})`, legend: '{{route}}' }],
    },
    {
      title: 'Replays after a 401',
      description:
        'accepted: the new token worked. refused_again: the upstream refuses a fresh one; look at its scopes.',
      kind: 'bars',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (route, outcome) (increase(sidebearer_replays_total{${ofRoute}}${window})) > 0`,
          legend: '{{route}} {{outcome}}',
        },
      ],
    },
  ],
};
