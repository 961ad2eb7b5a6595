// The row about tokens: how long they live, what became of their refreshes, who waits for them.
import { ofCredential, pods, quantiles, type Row, window } from './panel.ts';

export const credentials: Row = {
  title: 'Credentials',
  panels: [
    {
      title: 'Time until the token expires',
      description: 'Of the replica whose token is the oldest. A saw that no longer rises is a refresh that fails.',
      kind: 'lines',
      unit: 's',
      width: 12,
      queries: [
        {
          expr: `min by (namespace, credential) (sidebearer_token_expiry_timestamp_seconds{${ofCredential}}) - time()`,
          legend: '{{namespace}} {{credential}}',
        },
      ],
    },
    {
      title: 'Time until the next refresh',
      description: 'Below 0 it is overdue: another replica is at it, or it fails. See "Refreshes" beside it.',
      kind: 'lines',
      unit: 's',
      width: 12,
      queries: [
        {
          expr: `min by (namespace, credential) (sidebearer_refresh_due_timestamp_seconds{${ofCredential}}) - time()`,
          legend: '{{namespace}} {{credential}}',
        },
      ],
    },
    {
      title: 'Replicas by state of the credential',
      description:
        'fresh and due serve. cooling waits after a failure, refused met a 401, dead and absent need a login.',
      kind: 'stack',
      unit: 'short',
      width: 12,
      queries: [
        {
          expr: `sum by (credential, state) (sidebearer_credential_state{${ofCredential}}) > 0`,
          legend: '{{credential}} {{state}}',
        },
      ],
    },
    {
      title: 'Refreshes',
      description: 'adopted: another replica did it. superseded: a newer token won. unknown: its answer was lost.',
      kind: 'bars',
      unit: 'short',
      width: 12,
      queries: [
        {
          expr: `sum by (credential, outcome) (increase(sidebearer_refreshes_total{${ofCredential}}${window})) > 0`,
          legend: '{{credential}} {{outcome}}',
        },
      ],
    },
    {
      title: 'Calls to the token endpoint',
      description: 'By status class, or network where no answer came. With a rotating grant one for each refresh.',
      kind: 'bars',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (credential, grant, result) (increase(sidebearer_token_requests_total{${ofCredential}}${window})) > 0`,
          legend: '{{credential}} {{grant}} {{result}}',
        },
      ],
    },
    {
      title: 'Duration of a refresh',
      description: 'With its lease, attempts and commit. Requests without a valid token wait for as long.',
      kind: 'lines',
      unit: 's',
      width: 8,
      queries: quantiles('sidebearer_refresh_duration_seconds', 'credential', ofCredential),
    },
    {
      title: 'Failures by credential',
      description: 'By code: docs/errors.md has the next step of each.',
      kind: 'bars',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (credential, code) (increase(sidebearer_credential_errors_total{${ofCredential}}${window})) > 0`,
          legend: '{{credential}} {{code}}',
        },
      ],
    },
    {
      title: 'Breakers that are not closed',
      description: '1 while a token endpoint is left alone (open) or tried once (half_open).',
      kind: 'lines',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `max by (endpoint, egress, state) (sidebearer_breaker_state{${pods},state!="closed"})`,
          legend: '{{endpoint}} {{egress}} {{state}}',
        },
      ],
    },
    {
      title: 'Pause that is left',
      description:
        'Until a cooling credential is tried again, or one that rests after a limit is used again in its pool.',
      kind: 'lines',
      unit: 's',
      width: 8,
      queries: [
        {
          expr: `max by (namespace, credential) (sidebearer_cooldown_end_timestamp_seconds{${ofCredential}}) - time()`,
          legend: '{{namespace}} {{credential}}',
        },
      ],
    },
    {
      title: 'Requests that wait',
      description: 'For a refresh, at most wait.timeout and wait.queue; beyond them 503.',
      kind: 'lines',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (credential) (sidebearer_requests_waiting{${ofCredential}})`,
          legend: '{{credential}}',
        },
      ],
    },
    {
      title: 'Time until the login itself ends',
      description: 'Where the provider tells. No refresh outlives it: log in again before.',
      kind: 'lines',
      unit: 's',
      width: 8,
      queries: [
        {
          expr: `min by (namespace, credential) (sidebearer_grant_expiry_timestamp_seconds{${ofCredential}}) - time()`,
          legend: '{{namespace}} {{credential}}',
        },
      ],
    },
    {
      title: 'Logins',
      description: 'That ended: succeeded, or the code of their failure.',
      kind: 'bars',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (credential, outcome) (increase(sidebearer_logins_total{${ofCredential}}${window})) > 0`,
          legend: '{{credential}} {{outcome}}',
        },
      ],
    },
    {
      title: 'Quota used',
      description: 'Of the account, where the upstream tells. At 100 % it answers 429.',
      kind: 'lines',
      unit: 'percentunit',
      width: 8,
      queries: [
        {
          expr: `max by (credential, window) (sidebearer_upstream_quota_used_ratio{${ofCredential}})`,
          legend: '{{credential}} {{window}}',
        },
      ],
    },
  ],
};
