// Numbers of tokens that no store counts: they only rise, whatever settings the tokens were obtained with, so that a
// newer token is never taken for one that was refused. One for each credential, for the life of the process.

export interface Generations {
  next(): number;
}

export function createGenerations(): Generations {
  let last = 0;
  return {
    next() {
      last += 1;
      return last;
    },
  };
}
