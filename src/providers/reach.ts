// Whether a token endpoint can be reached at all: a connection as the redeem will make it, with its egress, its names and
// its certificates, given up just before the first byte.
import { isCertificateAlert, isCertificateFailure } from '../egress/tls-failure.ts';
import { type ErrorDetails, SidebearerError } from '../errors/sidebearer-error.ts';
import type { OAuthClient } from './oauth-client.ts';
import type { TokenCall } from './provider.ts';

/** A person waits for it. */
const onlyConnect: TokenCall = { timeoutMs: 5_000, mayBegin: () => false };

/** @throws provider_unreachable, provider_metadata_invalid, egress_unreachable, egress_refused */
export async function reachTokenEndpoint(
  client: Pick<OAuthClient, 'call' | 'server' | 'usesMtlsAliases'>,
): Promise<void> {
  const server = await client.server(onlyConnect.timeoutMs);
  const alias = client.usesMtlsAliases ? server.mtls_endpoint_aliases?.token_endpoint : undefined;
  const url = alias ?? server.token_endpoint ?? '';
  try {
    await client.call(url, { method: 'GET', headers: {} }, onlyConnect);
  } catch (thrown) {
    if (!(thrown instanceof SidebearerError)) throw thrown;
    // It stood, and was given up by us.
    if (thrown.code === 'lease_lost') return;
    if (thrown.code !== 'token_endpoint_unreachable') throw thrown;
    throw new SidebearerError('provider_unreachable', { ...thrown.details, ...explain(thrown.details) }, thrown.cause);
  }
}

/** Three causes that three different people put right. */
function explain({ reason, systemCode = '' }: ErrorDetails): Pick<ErrorDetails, 'reason' | 'next'> {
  if (/^(?:ENOTFOUND|EAI_|ENODATA|ESERVFAIL)/.test(systemCode)) {
    return {
      reason: 'DNS does not know its name here',
      next: 'Check the name in the provider settings, and the DNS of the pod (dnsPolicy, egress to port 53).',
    };
  }
  if (isCertificateFailure(systemCode) || isCertificateAlert(systemCode)) {
    return {
      ...(reason !== undefined && { reason }),
      next: 'Set tls.ca of the credential to the authority that signed the certificate, or correct the URL.',
    };
  }
  return {
    reason: systemCode === 'ECONNREFUSED' ? 'it refuses the connection' : 'no connection came about in time',
    next: 'Check the address, the network policy of the pod, and whether the way out needs egress.proxy.',
  };
}
