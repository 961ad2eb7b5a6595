// The row about the injection webhook: what it did with the pods it was asked about, and whether it can be reached.
// Its failures stand in the panel of all failures: it counts them under the same name.
import { pods, type Row, window } from './panel.ts';

const DAY = 86_400;
const expiry = `sidebearer_injector_certificate_expiry_timestamp_seconds{${pods}}`;

export const injector: Row = {
  title: 'Injection webhook',
  panels: [
    {
      title: 'Webhooks',
      description: 'Processes of the injector that are scraped now. None: pods start without their sidecar.',
      kind: 'stat',
      unit: 'short',
      width: 4,
      queries: [{ expr: `count(${expiry})`, legend: '' }],
    },
    {
      title: 'Certificate of the webhook',
      description:
        'Until the first that is shown expires; red from where SidebearerWebhookCertificateExpires rings. After it the API server reaches no webhook.',
      kind: 'stat',
      unit: 's',
      width: 4,
      steps: [
        { from: null, color: 'red' },
        { from: 3 * DAY, color: 'orange' },
        { from: 7 * DAY, color: 'green' },
      ],
      queries: [{ expr: `min(${expiry}) - time()`, legend: '' }],
    },
    {
      title: 'Pods by what came of them',
      description:
        'Pods that the webhook was asked about. refused: the pod starts without a sidecar, and its annotation sidebearer.dev/status says why. failed: see the failures by code.',
      kind: 'bars',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (outcome) (increase(sidebearer_injections_total{${pods}}${window})) > 0`,
          legend: '{{outcome}}',
        },
      ],
    },
    {
      title: 'Changes of the webhook’s certificate',
      description: 'refused: a new pair came and could not be used, and the one before it is shown; see its log.',
      kind: 'bars',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (outcome) (increase(sidebearer_injector_tls_reloads_total{${pods}}${window})) > 0`,
          legend: '{{outcome}}',
        },
      ],
    },
  ],
};
