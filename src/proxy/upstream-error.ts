// Translates what undici and Node report of an upstream into the catalogue, by code and by how far the request had
// come; never by text.
import { isCertificateAlert, isCertificateFailure } from '../egress/tls-failure.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { AttemptStage } from './message.ts';

/** @param address the configured origin */
export function upstreamError(thrown: unknown, stage: AttemptStage, address: string): SidebearerError {
  // The egress proxy's.
  if (thrown instanceof SidebearerError) return thrown;
  const code = systemCode(thrown);
  const details = code === undefined ? { address } : { address, systemCode: code };
  return new SidebearerError(classify(code ?? '', stage), details, thrown);
}

function classify(code: string, stage: AttemptStage): ErrorCode {
  if (isCertificateAlert(code)) return 'upstream_tls_refused';
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
  return isCertificateFailure(code) || code === 'EPROTO' || code.startsWith('ERR_TLS_') || code.startsWith('ERR_SSL_');
}
