// The values that annotations may have. Each reader answers undefined for anything that it does not know for certain,
// and for what the API server would refuse: no pod may fail because of us.

export interface BaseUrl {
  /** Of the environment variable. */
  readonly name: string;
  /** Empty, or from the slash on. */
  readonly path: string;
}

export interface Quantity {
  readonly text: string;
  /** To compare with others of its kind. */
  readonly amount: number;
}

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const MAX_ITEMS = 50;
const MAX_SECONDS = 86_400;
/** Folders below /var/run/secrets that are taken. */
const takenFolders = new Set(['sidebearer', 'kubernetes.io']);

/** A DNS subdomain name, as RFC 1123 and Kubernetes have it. */
export function objectName(text: string): string | undefined {
  const isName = text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text);
  return isName ? text : undefined;
}

/** Not `true`: other injectors take that, and a pod would wait for a ConfigMap of that name for ever. */
export function configMapName(text: string): string | undefined {
  return text === 'true' ? undefined : objectName(text);
}

export function baseUrls(text: string): readonly BaseUrl[] | undefined {
  return list(text, (item) => {
    // `$(` would be expanded by kubelet.
    const match = /^([A-Za-z_][A-Za-z0-9_]{0,127})(?:=(\/[A-Za-z0-9._~!$&'*+;=:@%/-]{0,500}))?$/.exec(item);
    return match === null ? undefined : { name: match[1] ?? '', path: match[2] ?? '' };
  });
}

export function containerNames(text: string): readonly string[] | undefined {
  return list(text, (item) => (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(item) ? item : undefined));
}

export function secretNames(text: string): readonly string[] | undefined {
  return list(text, (item) => (takenFolders.has(item) ? undefined : objectName(item)));
}

export function image(text: string): string | undefined {
  return /^[A-Za-z0-9][\w.:/@-]{0,511}$/.test(text) ? text : undefined;
}

export function pullPolicy(text: string): string | undefined {
  return text === 'Always' || text === 'IfNotPresent' || text === 'Never' ? text : undefined;
}

export function logLevel(text: string): string | undefined {
  return logLevels.find((level) => level === text);
}

export function port(text: string): number | undefined {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined;
}

export function sidecarKind(text: string): 'native' | 'container' | undefined {
  return text === 'native' || text === 'container' ? text : undefined;
}

export function yesOrNo(text: string): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined;
}

export function seconds(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) && Number(text) <= MAX_SECONDS ? Number(text) : undefined;
}

/** Cores, to the thousandth. */
export function cpu(text: string): Quantity | undefined {
  if (/^[1-9]\d{0,5}m$/.test(text)) return { text, amount: Number(text.slice(0, -1)) / 1_000 };
  const isCores = /^\d{1,3}(\.\d{1,3})?$/.test(text) && Number(text) > 0;
  return isCores ? { text, amount: Number(text) } : undefined;
}

const memoryUnits = { '': 1, k: 1e3, M: 1e6, G: 1e9, Ki: 1_024, Mi: 1_048_576, Gi: 1_073_741_824 } as const;

export function memory(text: string): Quantity | undefined {
  const match = /^([1-9]\d{0,11})(k|M|G|Ki|Mi|Gi)?$/.exec(text);
  if (match === null) return undefined;
  return { text, amount: Number(match[1]) * memoryUnits[(match[2] ?? '') as keyof typeof memoryUnits] };
}

/** Whole or not at all, and nothing twice. */
function list<T>(text: string, reader: (item: string) => T | undefined): readonly T[] | undefined {
  const texts = text.split(',').map((item) => item.trim());
  if (texts.at(-1) === '') texts.pop();
  const items = texts.map(reader).filter((item) => item !== undefined);
  const isWhole = items.length === texts.length && items.length > 0 && items.length <= MAX_ITEMS;
  const names = texts.map((item) => item.split('=', 1)[0]);
  return isWhole && new Set(names).size === names.length ? items : undefined;
}
