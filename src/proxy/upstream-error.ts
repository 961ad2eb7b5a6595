// Translates what undici and Node report of an upstream into the catalogue, by code and by how far the request had
// come; never by text.
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { AttemptStage } from './message.ts';

/** OpenSSL's verification results, as Node names them (node:tls, "X509 certificate error codes"). */
const certificateCodes: ReadonlySet<string> = new Set([
  'CERT_CHAIN_TOO_LONG',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'CRL_HAS_EXPIRED',
  'CRL_NOT_YET_VALID',
  'CRL_SIGNATURE_FAILURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'HOSTNAME_MISMATCH',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_GET_CRL',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** @param address the configured origin */
export function upstreamError(thrown: unknown, stage: AttemptStage, address: string): SidebearerError {
  const code = systemCode(thrown);
  const details = code === undefined ? { address } : { address, systemCode: code };
  return new SidebearerError(classify(code ?? '', stage), details, thrown);
}

function classify(code: string, stage: AttemptStage): ErrorCode {
  if (isTls(code)) return 'upstream_tls_failed';
  switch (code) {
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return 'upstream_timeout';
    // undici's own check of what it is to send: bytes that llhttp let through and that no upstream should see.
    case 'UND_ERR_INVALID_ARG':
    case 'UND_ERR_NOT_SUPPORTED':
    case 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH':
      return 'request_malformed';
    case 'UND_ERR_HEADERS_OVERFLOW':
      return 'upstream_malformed';
  }
  if (code.startsWith('HPE_')) return 'upstream_malformed';
  if (stage === 'connecting') return 'upstream_unreachable';
  // An answer that began and has no head: cut off within it, a 101 that nobody asked for, or a surprising 100.
  return stage === 'answering' ? 'upstream_malformed' : 'upstream_closed';
}

function isTls(code: string): boolean {
  return certificateCodes.has(code) || code === 'EPROTO' || code.startsWith('ERR_TLS_') || code.startsWith('ERR_SSL_');
}
