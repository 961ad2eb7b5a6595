// What a PromQL expression names, and whether there is such a thing: metrics and labels as the table of metrics has them,
// prom-client's own as a real exposition shows them. It knows no grammar: promtool checks that.
import {
  injectorMetricDefinitions,
  type MetricDefinition,
  metricDefinitions,
} from '../../src/telemetry/metric-definitions.ts';
import { createBusyTelemetry } from '../telemetry/_busy.ts';

export interface Matcher {
  readonly label: string;
  /** What its value, or any alternative of its expression, stands for. */
  readonly values: readonly string[];
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

/** What Prometheus adds to every series of a pod. */
const ofTarget = ['namespace', 'pod', 'job'];
/** Labels that have all their values from the start. */
const enumerated: ReadonlySet<string> = new Set(['state', 'status_class', 'layer', 'code']);
const grouping = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;

/** Every metric that an expression names: ours by the name alone, others where they have matchers. */
export function selectorsOf(expr: string): Selector[] {
  const named = [...expr.matchAll(/\b((?:sidebearer|process|nodejs)_\w+|\w+(?=\{))(?:\{([^}]*)\})?/g)];
  return named.map(([, metric = '', matchers = '']) => ({
    metric,
    matchers: [...matchers.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].map(
      ([, label = '', how = '', value = '']) => ({
        label,
        values: how.endsWith('~') ? value.split('|') : [value],
      }),
    ),
  }));
}

/** Labels that it groups by or joins on. */
export function groupedBy(expr: string): string[] {
  return [...expr.matchAll(grouping)].flatMap(([, list = '']) => list.split(/[\s,]+/).filter((label) => label !== ''));
}

export interface Known {
  /** By the name of the series. */
  readonly labels: ReadonlyMap<string, readonly string[]>;
  /** By label, for those that are enumerated. */
  readonly values: ReadonlyMap<string, ReadonlySet<string>>;
}

export async function readKnown(): Promise<Known> {
  const labels = new Map<string, readonly string[]>();
  const definitions: readonly MetricDefinition[] = [
    ...Object.values<MetricDefinition>(metricDefinitions),
    ...Object.values<MetricDefinition>(injectorMetricDefinitions),
  ];
  for (const { name, type, labels: own } of definitions) {
    if (type !== 'histogram') labels.set(name, [...own, ...ofTarget]);
    else {
      labels.set(`${name}_bucket`, [...own, ...ofTarget, 'le']);
      for (const suffix of ['sum', 'count']) labels.set(`${name}_${suffix}`, [...own, ...ofTarget]);
    }
  }
  const values = new Map([...enumerated].map((label) => [label, new Set<string>()]));
  const { scrape } = await createBusyTelemetry();
  for (const family of (await scrape()).values()) {
    for (const sample of family.samples) {
      if (!sample.name.startsWith('sidebearer_')) labels.set(sample.name, [...Object.keys(sample.labels), ...ofTarget]);
      for (const [label, value] of Object.entries(sample.labels)) values.get(label)?.add(value);
    }
  }
  return { labels, values };
}

/** What is wrong with it, a line each. `also`: labels that something else takes from the result. */
export function mistakes(expr: string, known: Known, also: readonly string[] = []): string[] {
  const selectors = selectorsOf(expr);
  const unknown = selectors.flatMap(({ metric, matchers }) => {
    const its = known.labels.get(metric);
    if (its === undefined) return [`there is no ${metric}`];
    return matchers.flatMap(({ label, values }) => {
      if (!its.includes(label)) return [`${metric} has no label ${label}`];
      const there = [...(known.values.get(label) ?? [])];
      const wrong = values.filter(
        (value) => there.length > 0 && !there.some((one) => new RegExp(`^(?:${value})$`).test(one)),
      );
      return wrong.map((value) => `${label} is never ${value}`);
    });
  });
  const all = new Set(selectors.flatMap(({ metric }) => known.labels.get(metric) ?? []));
  const lost = [...groupedBy(expr), ...also].filter((label) => !all.has(label));
  return [...unknown, ...lost.map((label) => `nothing in it has the label ${label}`)];
}
