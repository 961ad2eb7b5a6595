// The results as Markdown: for the terminal and for RESULTS.md. No host name and no path stands in it.
import type { AddedLatency } from './added-latency.ts';
import type { Case } from './cases.ts';
import type { Score } from './rounds.ts';
import type { StartTimes } from './start-times.ts';

export function caseTable({ doc, unit: [one, many] }: Case, scores: readonly Score[]): string {
  const names = Object.keys(scores[0]?.latencies ?? {});
  return section(doc, [
    [
      '',
      `CPU µs for one ${one}`,
      '× nginx',
      `${many}/s`,
      ...names.map((name) => `${name}, µs`),
      'RssAnon idle / loaded, MB',
      'start to ready, ms',
      'failures',
    ],
    ...scores.map((each) => [
      each.name,
      each.cpuUs.toFixed(1),
      figure(each.ratio, 2),
      each.perSecond.toFixed(0),
      ...names.map((name) => figure(each.latencies[name] ?? Number.NaN, 0)),
      `${megabytes(each.idleBytes)} / ${megabytes(each.loadedBytes)}`,
      each.startMs.toFixed(0),
      String(each.failures),
    ]),
  ]);
}

export function latencyTable(results: readonly AddedLatency[]): string {
  return section('Added latency, GET, 1 KiB, 64 connections, at a share of the own peak', [
    ['', 'share', 'requests/s', 'p50, µs', 'p99, µs', 'p99.9, µs'],
    ...results.map(({ name, share, rate, addedUs }) => [
      name,
      String(share),
      String(rate),
      ...(addedUs?.map((us) => us.toFixed(0)) ?? ['not kept', '', '']),
    ]),
  ]);
}

export function startTable({ withoutCacheMs, withCacheMs }: StartTimes): string {
  return section('Start to ready with a stored token', [
    ['', 'ms'],
    ['without a compile cache', withoutCacheMs.toFixed(0)],
    ['with a warm one', withCacheMs.toFixed(0)],
  ]);
}

function section(title: string, rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`);
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [`### ${title}`, '', ...lines.toSpliced(1, 0, rule), ''].join('\n');
}

function megabytes(bytes: number): string {
  return (bytes / 1_048_576).toFixed(1);
}

function figure(value: number, digits: number): string {
  return Number.isNaN(value) ? '' : value.toFixed(digits);
}
