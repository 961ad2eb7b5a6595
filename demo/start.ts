// `npm start`: starts the demo, says what to open and what to curl, and ends it all on Ctrl-C.
import { SidebearerError } from '../src/errors/sidebearer-error.ts';
import { type Demo, listenVariables, startDemo } from './demo.ts';

function framed(lines: readonly string[]): string {
  const width = Math.max(...lines.map(({ length }) => length));
  const rule = '─'.repeat(width + 4);
  return [`┌${rule}┐`, ...lines.map((line) => `│  ${line.padEnd(width)}  │`), `└${rule}┘`].join('\n');
}

function instructions({ sidecar, loginUrl, tokenSeconds }: Demo): readonly string[] {
  const { proxy, oauth, telemetry } = sidecar.urls;
  return [
    'Sidebearer is running, with an identity provider and an upstream of its own.',
    '',
    `1. Log in  ${loginUrl}`,
    '           two clicks, no password',
    `2. Call    curl ${proxy}/hello`,
    `           curl -N ${proxy}/sse`,
    '           the answer tells what the upstream received: a token that curl never had',
    `3. Watch   ${loginUrl.replace(/\/oauth\/start$/, '/')}${oauth === undefined ? '' : '  (status)'}`,
    `           ${telemetry}/metrics`,
    `           the token lives for ${tokenSeconds} s; each refresh is a line below`,
    '',
    'Ctrl-C ends everything.',
  ];
}

/** A busy port is told by the variable that moves it here, rather than by the setting in a file that does not exist. */
function explain(thrown: unknown): { text: string; exit: number } {
  if (!(thrown instanceof SidebearerError))
    return { text: thrown instanceof Error ? thrown.message : 'failed', exit: 1 };
  const { setting, address = '', holder } = thrown.details;
  const exit = thrown.row.exit ?? 1;
  const known = Object.entries(listenVariables).find(([name]) => name === setting)?.[1];
  if (known === undefined) return { text: `${thrown.message}. ${thrown.row.next}`, exit };
  const by = holder === undefined ? '' : `, by ${holder}`;
  const move = `Move it: ${known.variable}=${elsewhere(known.address)} npm start`;
  return { text: `${thrown.message}: ${address}${by} (setting ${setting}).\n${move}`, exit };
}

function elsewhere(address: string): string {
  return address.replace(/:(\d+)$/, (_, port: string) => `:${Number(port) + 10_000}`);
}

try {
  const demo = await startDemo(process.env);
  console.log(`\n${framed(instructions(demo))}\n`);
  let isEnding = false;
  const end = (): void => {
    // Whoever asks twice does not want to wait.
    if (isEnding) process.exit(130);
    isEnding = true;
    void demo.stop().then(() => process.exit(0));
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
} catch (thrown) {
  const { text, exit } = explain(thrown);
  console.error(text);
  process.exit(exit);
}
