// `sidebearer export`: refused. It is here because people look for it, and deserve the reason.
import { SidebearerError } from '../errors/sidebearer-error.ts';

export async function exportTokens(): Promise<never> {
  throw new SidebearerError('export_refused');
}
