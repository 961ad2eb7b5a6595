// The command line → a command and its flags, or a usage_invalid that says what is wrong with it.
// It reads no file, and the environment only for the variables that the flags name.
import { parseArgs } from 'node:util';
import { nearest } from '../config/nearest.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Command, Flag, FlagValue, FlagValues } from './command.ts';
import { commands } from './commands.ts';

export type Arguments =
  | { readonly wish: 'help'; readonly command?: Command }
  | {
      readonly wish: 'execute';
      readonly command: Command;
      readonly flags: FlagValues;
      readonly operand?: string;
    };

const help: Flag = { name: 'help', short: 'h', doc: '' };
const version: Flag = { name: 'version', short: 'V', doc: '' };

/**
 * @param argv without the program's own two
 * @throws usage_invalid
 */
export function readArguments(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): Arguments {
  const [first = '', ...rest] = argv;
  if (first === '--version' || first === '-V') return { wish: 'execute', command: find('version'), flags: new Map() };
  if (first === '--help' || first === '-h') return { wish: 'help' };
  if (first === '') throw usage('a command is missing');
  if (first === 'help') {
    const [name] = rest;
    return name === undefined || name.startsWith('-') ? { wish: 'help' } : { wish: 'help', command: find(name) };
  }
  if (first.startsWith('-')) throw usage(`the command comes first, then ${quote(first)}`);
  const command = find(first);
  const { given, operand } = readFlags(command, rest);
  if (given.has(help.name)) return { wish: 'help', command };
  if (given.has(version.name)) return { wish: 'execute', command: find('version'), flags: new Map() };
  for (const flag of command.flags) {
    // Set and empty is how deployments say "not set".
    const value = flag.env === undefined ? undefined : env[flag.env];
    if (flag.env === undefined || value === undefined || value === '' || given.has(flag.name)) continue;
    given.set(flag.name, { value, source: flag.env });
  }
  return { wish: 'execute', command, flags: given, ...(operand !== undefined && { operand }) };
}

function find(name: string): Command {
  const names = commands.map((command) => command.name);
  const command = commands.find((each) => each.name === name);
  if (command === undefined) throw usage(`there is no command ${quote(name)}${didYouMean(nearest(name, names))}`);
  return command;
}

interface Given {
  readonly given: Map<string, FlagValue>;
  readonly operand: string | undefined;
}

function readFlags(command: Command, argv: readonly string[]): Given {
  const flags = [...command.flags, help, version];
  const options = Object.fromEntries(
    flags.map((flag) => [
      flag.name,
      {
        type: flag.value === undefined ? ('boolean' as const) : ('string' as const),
        ...(flag.short === undefined ? {} : { short: flag.short }),
      },
    ]),
  );
  // Not strict: parseArgs' own errors are less clear than the ones below.
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true, allowPositionals: true });
  const given = new Map<string, FlagValue>();
  let operand: string | undefined;
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      if (command.operand === undefined || operand !== undefined) {
        throw usage(`${quote(token.value)} is not expected here`);
      }
      operand = token.value;
      continue;
    }
    const flag = flags.find((each) => each.name === token.name);
    if (flag === undefined) {
      const names = command.flags.map((each) => each.name);
      const hint = nearest(token.name, names);
      const known = didYouMean(hint === undefined ? undefined : `--${hint}`);
      throw usage(`\`${command.name}\` has no flag ${quote(token.rawName)}${known}`);
    }
    if (flag.value === undefined) {
      if (token.value !== undefined) throw usage(`--${flag.name} takes no value`);
      given.set(flag.name, { value: '', source: `--${flag.name}` });
      continue;
    }
    // `--config --json` has forgotten the file; a lone `-` is standard input.
    const isForgotten = !token.inlineValue && token.value !== undefined && /^-./.test(token.value);
    if (token.value === undefined || token.value === '' || isForgotten) {
      throw usage(`--${flag.name} needs a value: ${flag.value}`);
    }
    given.set(flag.name, { value: token.value, source: `--${flag.name}` });
  }
  return { given, operand };
}

function didYouMean(name: string | undefined): string {
  return name === undefined ? '' : ` (did you mean ${name}?)`;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}

function usage(reason: string): SidebearerError {
  return new SidebearerError('usage_invalid', { reason });
}
