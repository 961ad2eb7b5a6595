// `sidebearer status`: the credentials of the running sidecar, as a table for people or JSON for programs. Where the
// OAuth listener is off, what /metrics tells of them.
// What the sidecar answers is read as foreign text: missing fields are dashes, control characters are removed.
import { systemClock } from '../clock.ts';
import { catalogue } from '../errors/catalogue.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import { readMetrics } from './metrics-status.ts';
import { type Answer, ask, findListener, readTimeout, type Target } from './running-sidecar.ts';

export async function status(invocation: Invocation): Promise<number> {
  const timeoutMs = readTimeout(invocation, 5_000);
  const target = await findListener(invocation, 'oauth');
  if (target === undefined) return 1;
  if (target.listener === 'telemetry') return statusByMetrics(invocation, target, timeoutMs);
  const answer = await ask(target, '/status.json', timeoutMs);
  const credentials = answer.status === 200 ? readCredentials(answer.body) : undefined;
  if (credentials === undefined) throw unexpected(target, answer);
  const { flags, out } = invocation;
  if (flags.has('json')) out(JSON.stringify(JSON.parse(answer.body), null, 2));
  else out(formatTable(credentials, systemClock.wallMs()));
  return 0;
}

/** With `listen.oauth: off`: what /metrics tells, which is less, and the setting that a login would need. */
async function statusByMetrics(invocation: Invocation, target: Target, timeoutMs: number): Promise<number> {
  const nowMs = systemClock.wallMs();
  const answer = await ask(target, '/metrics', timeoutMs);
  if (answer.status !== 200) throw unexpected(target, answer);
  const credentials = readMetrics(answer.body, nowMs);
  if (credentials.length === 0) {
    const reason = '/metrics tells nothing of single credentials either (metrics.perCredential)';
    throw new SidebearerError('oauth_listener_off', { setting: 'listen.oauth', address: target.name, reason });
  }
  const { flags, out, err } = invocation;
  if (flags.has('json')) out(JSON.stringify({ credentials }, null, 2));
  else out(formatTable(credentials.map(asFields), nowMs));
  const waiting = credentials
    .filter(({ state }) => state === 'absent' || state === 'dead')
    .map(({ name }) => show(name));
  if (waiting.length > 0) {
    err(
      `A login, should one help ${waiting.join(', ')}, needs the OAuth listener: ${catalogue.oauth_listener_off.next}`,
    );
  }
  return 0;
}

function unexpected({ name }: Target, { status }: Answer): SidebearerError {
  const reason = status === 200 ? 'it answers with something else' : `it answers ${status}`;
  return new SidebearerError('sidecar_unreachable', { address: name, reason });
}

export type Fields = Readonly<Record<string, unknown>>;

function readCredentials(body: string): Fields[] | undefined {
  try {
    const credentials: unknown = asFields(JSON.parse(body))['credentials'];
    return Array.isArray(credentials) ? credentials.map(asFields) : undefined;
  } catch {
    // Not JSON: the caller says so.
    return undefined;
  }
}

export function asFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

const headings = ['CREDENTIAL', 'PROVIDER', 'STATE', 'USABLE', 'EXPIRES', 'NEXT REFRESH', 'ACCOUNT', 'LAST ERROR'];

/** @param nowMs wall time */
export function formatTable(credentials: readonly Fields[], nowMs: number): string {
  const rows = credentials.map((credential) => {
    const account = asFields(credential['account']);
    const cooling = credential['coolingUntilMs'];
    const resting = asFields(credential['resting']);
    return [
      show(credential['name']),
      show(credential['provider']),
      show(credential['state']),
      credential['usable'] === true ? 'yes' : 'no',
      showTime(credential['expiresAtMs'], nowMs),
      showTime(cooling ?? credential['refreshDueAtMs'], nowMs),
      show(account['email'] ?? account['id']),
      show(resting['code'] ?? asFields(credential['lastError'])['code']),
    ];
  });
  const table = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function show(value: unknown): string {
  if (typeof value !== 'string' || value === '') return '-';
  return plainText(value, 80);
}

/** Foreign text as it may stand on a terminal. */
export function plainText(text: string, longest: number): string {
  return text.replace(/\p{C}/gu, '?').slice(0, longest);
}

/** `in 4m`, `in 3d`, `12s ago`; `-` for what is no time. */
export function showTime(value: unknown, nowMs: number): string {
  if (typeof value !== 'number' || !Number.isFinite(value)) return '-';
  const seconds = Math.round(Math.abs(value - nowMs) / 1_000);
  const [amount, unit] =
    seconds < 120
      ? [seconds, 's']
      : seconds < 7_200
        ? [Math.floor(seconds / 60), 'm']
        : seconds < 172_800
          ? [Math.floor(seconds / 3_600), 'h']
          : [Math.floor(seconds / 86_400), 'd'];
  return value >= nowMs ? `in ${amount}${unit}` : `${amount}${unit} ago`;
}
