// A reader of Prometheus' text format (version 0.0.4), strict: what it does not understand it throws on.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

/** Families by name; a sample that belongs to no announced family is a mistake. */
export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const helps = new Map<string, string>();
  const families = new Map<string, Family>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment;
      if (kind === 'HELP') helps.set(name, rest);
      else if (families.has(name)) throw new Error(`two families of the name ${name}`);
      else families.set(name, { type: rest, help: helps.get(name) ?? '', samples: [] });
      continue;
    }
    const sample = parseSample(line);
    const family = families.get(sample.name) ?? families.get(sample.name.replace(/_(bucket|sum|count)$/, ''));
    if (family === undefined) throw new Error(`a sample of no family: ${line}`);
    family.samples.push(sample);
  }
  return families;
}

function parseSample(line: string): Sample {
  const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null) throw new Error(`not a sample: ${line}`);
  const [, name = '', labelText = '', valueText = ''] = match;
  const labels: Record<string, string> = {};
  const pattern = /([a-zA-Z_]\w*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)/y;
  while (pattern.lastIndex < labelText.length) {
    const pair = pattern.exec(labelText);
    if (pair?.[1] === undefined || pair[2] === undefined) throw new Error(`not a label: ${line}`);
    if (pair[1] in labels) throw new Error(`a label twice: ${line}`);
    labels[pair[1]] = pair[2].replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char));
  }
  const value = valueText === '+Inf' ? Number.POSITIVE_INFINITY : Number(valueText);
  // Prometheus reads NaN in any case.
  if (Number.isNaN(value) && valueText.toLowerCase() !== 'nan') throw new Error(`not a value: ${line}`);
  return { name, labels, value };
}

/** The value of one series, undefined where there is none. */
export function seriesValue(
  families: Map<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
  return family?.samples.find(
    (sample) =>
      sample.name === name &&
      Object.keys(sample.labels).length === Object.keys(labels).length &&
      Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  )?.value;
}
