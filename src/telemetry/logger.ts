// Log lines on standard output: JSON for machines, pretty for people, every line through the redaction.
// No worker thread and no pino transport: both would break in a bundle and lose the last lines of a crash.
import { type DestinationStream, destination, pino, stdTimeFunctions } from 'pino';
import { redactFields, redactText } from './redaction.ts';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Plain data; an error may stand in a field. Not `level`, `time` or `msg`. */
export type LogFields = Readonly<Record<string, unknown>>;
type Write = (fields: LogFields, message: string) => void;

export interface Logger {
  readonly trace: Write;
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  readonly fatal: Write;
  isEnabled(level: Exclude<LogLevel, 'silent'>): boolean;
  /** From now on. */
  setLevel(level: LogLevel): void;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: 'json' | 'pretty';
  /** Fields of every line. */
  readonly base?: LogFields;
  /** Where lines go, one call a line; default: standard output, written at once. */
  readonly sink?: DestinationStream;
  /** Colours in `pretty`; default: none. */
  readonly colour?: boolean;
}

export async function createLogger(options: LoggerOptions): Promise<Logger> {
  const sink = options.sink ?? destination({ dest: 1, sync: true });
  const stream = options.format === 'pretty' ? await prettyStream(sink, options.colour === true) : sink;
  const log = pino(
    {
      level: options.level,
      base: redactFields(options.base ?? {}),
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  const writer = (level: Exclude<LogLevel, 'silent'>): Write => {
    return (fields, message) => {
      if (log.isLevelEnabled(level)) log[level](redactFields(fields), redactText(message));
    };
  };
  return {
    trace: writer('trace'),
    debug: writer('debug'),
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
    fatal: writer('fatal'),
    isEnabled: (level) => log.isLevelEnabled(level),
    setLevel(level) {
      log.level = level;
    },
  };
}

/** Loaded only when asked for: a pod never needs it. */
async function prettyStream(sink: DestinationStream, colorize: boolean): Promise<DestinationStream> {
  const { prettyFactory } = await import('pino-pretty');
  const format = prettyFactory({
    colorize,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
    ignore: 'layer,service,event',
  });
  return { write: (line) => sink.write(format(line)) };
}
