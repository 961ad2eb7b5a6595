// What a panel of the dashboard is, and what its queries share: the variables that narrow them, and quantiles.
// Metrics and labels are those of src/telemetry alone; test/operations holds that.

export interface Query {
  readonly expr: string;
  /** Grafana's legend: `{{label}}` is that label's value. */
  readonly legend: string;
}

/** `lines`: over time; `stack`: the same, stacked; `bars`: rare events; `stat`: the last value, large. */
export type PanelKind = 'lines' | 'stack' | 'bars' | 'stat';

export interface Panel {
  readonly title: string;
  /** What it means, and from when on it is a reason to act. */
  readonly description: string;
  readonly kind: PanelKind;
  /** Grafana's name of it. */
  readonly unit: string;
  /** Of 24 columns. */
  readonly width: number;
  readonly queries: readonly Query[];
  /** Where green ends: a colour from this value on. */
  readonly steps?: readonly { readonly from: number | null; readonly color: string }[];
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

export const pods = 'namespace=~"$namespace",job=~"$job",pod=~"$pod"';
export const ofCredential = `${pods},credential=~"$credential"`;
export const ofRoute = `${pods},route=~"$route"`;
export const window = '[$__rate_interval]';

export function quantiles(metric: string, by: string, matchers: string): Query[] {
  return ['0.5', '0.99'].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (${by}, le) (rate(${metric}_bucket{${matchers}}${window})))`,
    legend: `{{${by}}} p${Number(quantile) * 100}`,
  }));
}
