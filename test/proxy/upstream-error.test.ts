// What Node and undici report of an upstream, and the code that it becomes: the cases that no server of a test brings
// about at will.
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { upstreamError } from '../../src/proxy/upstream-error.ts';

const table: readonly (readonly [string, string])[] = [
  ['CERT_HAS_EXPIRED', 'upstream_tls_failed'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'upstream_tls_failed'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'upstream_tls_failed'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'upstream_tls_failed'],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'upstream_tls_refused'],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'upstream_tls_refused'],
  ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'upstream_tls_refused'],
  ['ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE', 'upstream_tls_refused'],
  ['ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE', 'upstream_tls_refused'],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'upstream_tls_refused'],
];

t.test('failures of TLS are told apart: whose certificate was not accepted', async (t) => {
  for (const [systemCode, code] of table) {
    for (const stage of ['connecting', 'sent'] as const) {
      const error = upstreamError(Object.assign(new Error('x'), { code: systemCode }), stage, 'https://api.test');
      t.match(error, { code, details: { systemCode, address: 'https://api.test' } }, `${systemCode} ${stage}`);
    }
  }
});

t.test('what has a code of ours keeps it', async (t) => {
  const error = new SidebearerError('egress_refused', { address: 'proxy.test:3128' });
  t.equal(upstreamError(error, 'connecting', 'https://api.test'), error);
});
