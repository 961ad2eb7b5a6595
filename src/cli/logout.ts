// `sidebearer logout CREDENTIAL`: revokes its tokens at the provider and deletes them in every replica. It asks first:
// only a login brings the credential back.
import { catalogue } from '../errors/catalogue.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import { order, readCredential } from './order.ts';

const outcomes: Readonly<Record<string, string>> = {
  revoked: 'logged out: its tokens are revoked and deleted',
  unsupported: 'logged out: its tokens are deleted. The provider has no revocation, they end when they expire',
  unneeded: 'was not logged in',
  failed: 'logged out: its tokens are deleted',
};

export async function logout(invocation: Invocation): Promise<number> {
  const credential = readCredential(invocation);
  if (!invocation.flags.has('yes') && !(await isConfirmed(invocation, credential))) {
    invocation.err('Nothing was done.');
    return 1;
  }
  const answer = await order(invocation, '/oauth/logout', { credential });
  if (answer === undefined) return 1;
  const { revocation } = answer;
  if (!invocation.flags.has('json')) invocation.out(`${credential}: ${outcomes[String(revocation)] ?? 'logged out'}`);
  if (revocation === 'failed') {
    const { message, next } = catalogue.revocation_failed;
    invocation.err(`sidebearer: revocation_failed: ${message}. ${next}`);
  }
  return 0;
}

/** @throws usage_invalid where nobody can be asked */
async function isConfirmed({ prompt }: Invocation, credential: string): Promise<boolean> {
  const answer = await prompt(`Log ${credential} out? Its requests fail until somebody logs in again. [y/N] `);
  if (answer === undefined) {
    throw new SidebearerError('usage_invalid', { reason: 'nobody can be asked here: give --yes' });
  }
  return /^y(?:es)?$/i.test(answer.trim());
}
