// What a process remembers of a credential whatever its settings are: a reload that puts others in their place must not
// make it forget. One for each credential; nothing secret is in it.

export interface CredentialMemory {
  /**
   * Numbers of tokens that no store counts: they only rise, so that a newer token is never taken for one that was
   * refused.
   */
  nextGeneration(): number;
  /** Of a refresh token that was sent, here or by a holder that is gone, without a clear end. */
  unclearFingerprint: string | undefined;
}

export function createMemory(): CredentialMemory {
  let last = 0;
  return {
    nextGeneration() {
      last += 1;
      return last;
    },
    unclearFingerprint: undefined,
  };
}
