// argv → command → exit code. It imports nothing but the table of commands: each command loads its own parts.
import { readArguments } from './cli/arguments.ts';
import type { Invocation } from './cli/command.ts';
import { tellFailure } from './cli/failure.ts';
import { SidebearerError } from './errors/sidebearer-error.ts';

async function main(argv: readonly string[]): Promise<number> {
  const wanted = readArguments(argv, process.env);
  if (wanted.wish === 'help') {
    const { formatCommandHelp, formatHelp } = await import('./cli/help.ts');
    write(process.stdout, wanted.command === undefined ? formatHelp() : formatCommandHelp(wanted.command));
    return 0;
  }
  const execute = await wanted.command.load();
  const invocation: Invocation = {
    flags: wanted.flags,
    operand: wanted.operand,
    env: process.env,
    out: (text) => write(process.stdout, text),
    err: (text) => write(process.stderr, text),
    readStdin,
    prompt,
  };
  return execute(invocation);
}

function write(stream: NodeJS.WriteStream, text: string): void {
  stream.write(`${text}\n`);
}

const prompt: Invocation['prompt'] = async (question, { signal, fromPipe = false } = {}) => {
  if (!process.stdin.isTTY && !fromPipe) return undefined;
  const { createInterface } = await import('node:readline/promises');
  // On standard error: standard output is for the answer.
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // A terminal in raw mode sends no signal of its own.
  terminal.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const end = new AbortController();
  const ended = signal === undefined ? end.signal : AbortSignal.any([end.signal, signal]);
  // A pipe that ends leaves its question unanswered for ever.
  terminal.once('close', () => end.abort());
  try {
    return await terminal.question(question, { signal: ended });
  } catch (thrown) {
    if (ended.aborted) return undefined;
    throw thrown;
  } finally {
    terminal.close();
  }
};

async function readStdin(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The end of a fault that nobody caught: Node would print the error whole, with whatever it holds. */
function crash(thrown: unknown): never {
  const { text } = tellFailure(new SidebearerError('internal_error', {}, thrown));
  write(process.stderr, text);
  process.exit(1);
}

// A rejection that nobody handles comes here, too.
process.on('uncaughtException', crash);

// Without a listener it opens Node's inspector on loopback, which all containers of a pod share: the heap holds tokens.
process.on('SIGUSR1', () => undefined);

// `sidebearer schema | head -1`: whoever has read enough is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

// The exit code is set, not forced: what was written to a pipe has to leave first.
main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (thrown) => {
    const { text, exit } = tellFailure(thrown);
    write(process.stderr, text);
    process.exitCode = exit;
  },
);
