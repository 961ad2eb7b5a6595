// The help texts, made from the table of commands. Nothing is said here that the table does not know, but for the
// exit codes.
import type { Command, Flag } from './command.ts';
import { commands } from './commands.ts';

const exitCodes = `Exit codes:
  0   done; for wait: ready
  1   a mistake in the configuration, or the command failed;
      for status and wait: not reachable, or not ready in time;
      for refresh, resume and logout: not reachable, refused, or not confirmed;
      for shutdown: not running, switched off, refused, or not ended in time
  2   the command line is not understood
  13  run: a port is busy or may not be bound`;

/** The help of everything. */
export function formatHelp(): string {
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(9)}${summary}`).join('\n');
  const examples = commands.map((command) => `  ${command.examples[0] ?? ''}`).join('\n');
  return `sidebearer: a sidecar reverse proxy that sends every request on with a valid OAuth access token

Usage: sidebearer COMMAND [FLAGS]

Commands:
${list}

Examples:
${examples}

A flag wins over its environment variable, which wins over the file.
\`sidebearer COMMAND --help\` lists the flags of a command.

${exitCodes}`;
}

/** The help of one command. */
export function formatCommandHelp(command: Command): string {
  const operand = command.operand === undefined ? '' : ` ${command.operand}`;
  const parts = [`sidebearer ${command.name}${operand}: ${command.summary}`];
  if (command.about.length > 0) parts.push(command.about.join('\n'));
  parts.push(`Examples:\n${command.examples.map((example) => `  ${example}`).join('\n')}`);
  if (command.flags.length > 0) parts.push(`Flags:\n${command.flags.map(formatFlag).join('\n')}`);
  parts.push(exitCodes);
  return parts.join('\n\n');
}

function formatFlag(flag: Flag): string {
  const value = flag.value === undefined ? '' : ` ${flag.value}`;
  const name = `${flag.short === undefined ? '    ' : `-${flag.short}, `}--${flag.name}${value}`;
  return `  ${name.padEnd(32)}${flag.doc}${flag.env === undefined ? '' : ` [${flag.env}]`}`;
}
