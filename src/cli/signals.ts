// The end of a command that serves: the first SIGTERM or SIGINT asks for it.

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process as it would without us. */
export function waitForSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off('SIGTERM', stop);
      process.off('SIGINT', stop);
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}
