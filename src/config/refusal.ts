// Why a configuration that reads well cannot be put in force: everything at once that was found beyond its text.
import type { SidebearerError } from '../errors/sidebearer-error.ts';

export class ConfigRefusal extends Error {
  readonly errors: readonly SidebearerError[];

  constructor(errors: readonly SidebearerError[]) {
    super('The configuration cannot be put in force');
    this.errors = errors;
  }
}
