// Every metric that we define ourselves, as data: the exposition and docs/metrics.md read this table.
// No label may be unbounded: never a path, a host of a client, an account or a message.

export interface MetricDefinition {
  readonly name: `sidebearer_${string}`;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds in seconds; histograms only. */
  readonly buckets?: readonly number[];
}

/** Streams may last for minutes, an answer from nearby takes a millisecond. */
const requestBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300] as const;
const refreshBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

export const metricDefinitions = {
  buildInfo: {
    name: 'sidebearer_build_info',
    type: 'gauge',
    help: 'Always 1; the versions of Sidebearer and of Node.',
    labels: ['version', 'node'],
  },
  requests: {
    name: 'sidebearer_requests_total',
    type: 'counter',
    help: 'Requests that ended, by the status of the answer; aborted where a side left early. Route is empty where none matched.',
    labels: ['route', 'status_class'],
  },
  requestDuration: {
    name: 'sidebearer_request_duration_seconds',
    type: 'histogram',
    help: 'From the head of the request to the end of the answer; upgraded connections are not counted.',
    labels: ['route'],
    buckets: requestBuckets,
  },
  upstreamTtfb: {
    name: 'sidebearer_upstream_ttfb_seconds',
    type: 'histogram',
    help: "From the request sent to the first byte of the upstream's answer.",
    labels: ['route'],
    buckets: requestBuckets,
  },
  requestsInFlight: {
    name: 'sidebearer_requests_in_flight',
    type: 'gauge',
    help: 'Requests that are at work now.',
    labels: ['route'],
  },
  requestsWaiting: {
    name: 'sidebearer_requests_waiting',
    type: 'gauge',
    help: 'Requests that wait for a refresh now.',
    labels: ['credential'],
  },
  upgradesOpen: {
    name: 'sidebearer_upgrades_open',
    type: 'gauge',
    help: 'Upgraded connections (WebSocket and others) that are open now.',
    labels: ['route'],
  },
  replays: {
    name: 'sidebearer_replays_total',
    type: 'counter',
    help: 'Requests that the upstream answered with 401 to the current token, by what became of their replay.',
    labels: ['route', 'outcome'],
  },
  errors: {
    name: 'sidebearer_errors_total',
    type: 'counter',
    help: 'Failures by the code of docs/errors.md; every code is here from the start.',
    labels: ['layer', 'code'],
  },
  credentialErrors: {
    name: 'sidebearer_credential_errors_total',
    type: 'counter',
    help: 'Failures of one credential by code; a series begins at its first failure.',
    labels: ['credential', 'code'],
  },
  refreshes: {
    name: 'sidebearer_refreshes_total',
    type: 'counter',
    help: 'Refreshes that ended, by what asked for them and how they ended.',
    labels: ['credential', 'trigger', 'outcome'],
  },
  refreshDuration: {
    name: 'sidebearer_refresh_duration_seconds',
    type: 'histogram',
    help: 'A whole refresh, with its lease, its attempts and its commit.',
    labels: ['credential'],
    buckets: refreshBuckets,
  },
  tokenRequests: {
    name: 'sidebearer_token_requests_total',
    type: 'counter',
    help: 'Calls to the token endpoint, by the status class of the answer, or network where there was none.',
    labels: ['credential', 'grant', 'result'],
  },
  tokenExpiry: {
    name: 'sidebearer_token_expiry_timestamp_seconds',
    type: 'gauge',
    help: 'When the access token in hand expires, where known.',
    labels: ['credential'],
  },
  grantExpiry: {
    name: 'sidebearer_grant_expiry_timestamp_seconds',
    type: 'gauge',
    help: 'When the grant itself ends, where the provider tells.',
    labels: ['credential'],
  },
  refreshDue: {
    name: 'sidebearer_refresh_due_timestamp_seconds',
    type: 'gauge',
    help: 'When the next refresh is due.',
    labels: ['credential'],
  },
  credentialState: {
    name: 'sidebearer_credential_state',
    type: 'gauge',
    help: '1 for the state that the credential is in, 0 for the others.',
    labels: ['credential', 'state'],
  },
  breakerState: {
    name: 'sidebearer_breaker_state',
    type: 'gauge',
    help: '1 for the state that the breaker of a token endpoint is in, 0 for the others.',
    labels: ['endpoint', 'egress', 'state'],
  },
  cooldownEnd: {
    name: 'sidebearer_cooldown_end_timestamp_seconds',
    type: 'gauge',
    help: 'When a cooling credential is tried again, or one that rests after a limit is used again in its pool; absent where neither is so.',
    labels: ['credential'],
  },
  upstreamQuota: {
    name: 'sidebearer_upstream_quota_used_ratio',
    type: 'gauge',
    help: "Share of the account's quota that is used up (1: all of it), as the upstream told last; only where it tells.",
    labels: ['credential', 'window'],
  },
  configInfo: {
    name: 'sidebearer_config_info',
    type: 'gauge',
    help: 'Always 1; 8 characters that tell the active configuration from others, by HMAC under the first seal key; without one they are of this process alone.',
    labels: ['hash'],
  },
  configReloads: {
    name: 'sidebearer_config_reloads_total',
    type: 'counter',
    help: 'Changes of the configuration and its files while running: applied, or refused because of a mistake in them.',
    labels: ['outcome'],
  },
  storeWrites: {
    name: 'sidebearer_store_writes_total',
    type: 'counter',
    help: 'Commits to the store, by how they ended.',
    labels: ['kind', 'outcome'],
  },
  storeDirty: {
    name: 'sidebearer_store_dirty',
    type: 'gauge',
    help: '1 while a token serves from memory that is not yet durable.',
    labels: ['credential'],
  },
  logins: {
    name: 'sidebearer_logins_total',
    type: 'counter',
    help: 'Logins that ended: succeeded, or the code of their failure. Credential is empty where the login is not known.',
    labels: ['credential', 'outcome'],
  },
} as const satisfies Record<string, MetricDefinition>;

/** Of `sidebearer inject`, which is a program of its own. */
export const injectorMetricDefinitions = {
  buildInfo: metricDefinitions.buildInfo,
  errors: metricDefinitions.errors,
  injections: {
    name: 'sidebearer_injections_total',
    type: 'counter',
    help: 'Pods that the webhook was asked about, by what came of it; ignored is what is no creation of a pod.',
    labels: ['outcome'],
  },
  tlsReloads: {
    name: 'sidebearer_injector_tls_reloads_total',
    type: 'counter',
    help: 'Changes of the certificate files, by whether they were taken or refused.',
    labels: ['outcome'],
  },
  certificateExpiry: {
    name: 'sidebearer_injector_certificate_expiry_timestamp_seconds',
    type: 'gauge',
    help: 'When the certificate that the webhook shows expires.',
    labels: [],
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricKey = keyof typeof metricDefinitions;
