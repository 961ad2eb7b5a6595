// The configuration as the commands get it: the file or standard input, then environment variables, then flags.
import { readFileSync, statSync } from 'node:fs';
import type { ConfigSource, Override } from '../config/load.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';

/** Which flag sets which setting. */
const settingsByFlag = {
  'log-level': ['log', 'level'],
  'listen-proxy': ['listen', 'proxy'],
  'listen-oauth': ['listen', 'oauth'],
  'listen-telemetry': ['listen', 'telemetry'],
  quit: ['shutdown', 'quit'],
} as const;

/** @throws usage_invalid without --config, config_unreadable where standard input is no text */
export async function openConfig(invocation: Invocation): Promise<ConfigSource> {
  const file = invocation.flags.get('config')?.value;
  if (file === undefined) {
    throw new SidebearerError('usage_invalid', { reason: '--config FILE (or SIDEBEARER_CONFIG) is missing' });
  }
  const source = { env: invocation.env, readFile, overrides: overridesOf(invocation) };
  if (file !== '-') return { ...source, file, ...readPipe(file) };
  const bytes = await invocation.readStdin();
  try {
    return { ...source, file: '<stdin>', text: decode(bytes) };
  } catch {
    throw new SidebearerError('config_unreadable', { reason: 'standard input is not text in UTF-8' });
  }
}

/** What can be read once only (`--config <(…)`) is kept, and never looked at again. */
function readPipe(file: string): { readonly text?: string } {
  try {
    const isFile = statSync(file).isFile();
    return isFile ? {} : { text: readFile(file) };
  } catch {
    // Whoever reads it tells why it cannot.
    return {};
  }
}

function overridesOf({ flags }: Invocation): Override[] {
  return Object.entries(settingsByFlag).flatMap(([flag, path]) => {
    const given = flags.get(flag);
    // A flag that takes no value says yes by being there.
    return given === undefined ? [] : [{ path, value: given.value || 'true', source: given.source }];
  });
}

/** Text of a file; bytes that are not UTF-8 are an error, for silently replaced ones would be found out far too late. */
export function readFile(path: string): string {
  return decode(readFileSync(path));
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}
