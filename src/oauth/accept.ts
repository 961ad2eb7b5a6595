// Whether the answer is for a person or for a program: a page unless `Accept` prefers JSON (RFC 9110, 12.5.1).

/** @param accept the request's `Accept`, as it came */
export function prefersJson(accept: string | undefined): boolean {
  let [json, page] = [0, 0];
  for (const range of (accept ?? '').toLowerCase().split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    const weight = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    if (!(weight >= 0 && weight <= 1)) continue;
    if (type === 'application/json' || type === 'application/problem+json') json = Math.max(json, weight);
    if (type === 'text/html' || type === 'application/xhtml+xml') page = Math.max(page, weight);
  }
  return json > page;
}
