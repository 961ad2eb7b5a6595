// What a command is: its words for the help, its flags, and how it is loaded. Types only, so that naming a command
// loads none of its parts.

export interface Flag {
  /** Without the dashes. */
  readonly name: string;
  readonly short?: string;
  /** The placeholder of its value (`FILE`); absent where the flag takes none. */
  readonly value?: string;
  readonly doc: string;
  /** The environment variable that stands in for it; the flag wins. */
  readonly env?: string;
}

/** Values of flags, after the environment; a flag without a value is `''`. */
export type FlagValues = ReadonlyMap<string, FlagValue>;

export interface FlagValue {
  readonly value: string;
  /** `--config` or `SIDEBEARER_CONFIG`. */
  readonly source: string;
}

/** What a command may touch of the process. */
export interface Invocation {
  readonly flags: FlagValues;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Writes a line, or several. */
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly readStdin: () => Promise<Uint8Array>;
  /** What stands after the command, where it takes something. */
  readonly operand?: string | undefined;
  /**
   * Asks whoever sits at the terminal for one line; undefined where nobody does, and once `signal` aborts.
   * `fromPipe`: where there is no terminal, the next line of standard input will do.
   */
  readonly prompt: (
    question: string,
    options?: { readonly signal?: AbortSignal; readonly fromPipe?: boolean },
  ) => Promise<string | undefined>;
}

/** @returns the exit code. @throws SidebearerError, whose row may have another one */
export type Execute = (invocation: Invocation) => Promise<number>;

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Paragraphs of the command's own help. */
  readonly about: readonly string[];
  readonly examples: readonly string[];
  /** The placeholder of what stands after the command (`CREDENTIAL`); absent where it takes nothing. */
  readonly operand?: string;
  readonly flags: readonly Flag[];
  readonly load: () => Promise<Execute>;
}
