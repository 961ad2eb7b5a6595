// What the OAuth port tells: the audit trail of logins, counted and logged at info or above.
// An account's id and e-mail are in it, tokens, codes and states never are.

import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { LoginObserver, Visitor } from '../oauth/observer.ts';
import { type FailureLog, timeText } from './failure-log.ts';
import type { LogFields, Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

export interface LoginTelemetry {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly failures: FailureLog;
}

/** A header of a stranger's: enough to tell browsers apart. */
const MAX_USER_AGENT = 160;

export function createLoginObserver({ metrics, logger, failures }: LoginTelemetry): LoginObserver {
  /** Who did what to which credential, and what came of it: one line for each act, whatever else is logged of it. */
  function audit(action: string, credential: string, outcome: string, visitor: Visitor): void {
    const fields = { event: 'audit', action, credential, outcome, ...visitorFields(visitor) };
    logger.info(fields, `Audit: ${action.replace('_', ' ')}`);
  }

  return {
    administered({ action, credential, outcome }, visitor) {
      audit(action, credential, outcome, visitor);
    },

    loginStarted(credential, visitor) {
      audit('login_start', credential, 'started', visitor);
      logger.info({ event: 'login_started', credential, ...visitorFields(visitor) }, 'A login was started');
    },

    loginSucceeded(credential, visitor, account, expiresAtMs, grant = 'authorization_code') {
      metrics.loginEnded(credential, 'succeeded');
      metrics.tokenRequested(credential, grant, '2xx');
      const { issuer, id, userId, email } = account ?? {};
      const expiresAt = timeText(expiresAtMs);
      const fields = { event: 'login_succeeded', credential, account: { issuer, id, userId, email }, expiresAt };
      logger.info({ ...fields, ...visitorFields(visitor) }, 'The login succeeded: the code was exchanged for tokens');
      audit('login', credential, 'succeeded', visitor);
    },

    loginFailed(error, visitor, credential, grant = 'authorization_code') {
      metrics.loginEnded(credential, error.code);
      metrics.failed(error, credential);
      const exchange = credential === undefined ? undefined : exchangeResult(error);
      if (credential !== undefined && exchange !== undefined) {
        metrics.tokenRequested(credential, grant, exchange);
      }
      const fields = { event: 'login_failed', ...visitorFields(visitor) };
      // A login that was really started is told each time; anyone can send states that are unknown.
      if (credential === undefined) failures.reportRepeatable('warn', error, 'login', fields);
      else failures.report('warn', error, { ...fields, credential });
      if (credential !== undefined) audit('login', credential, error.code, visitor);
    },

    refused(error, visitor) {
      metrics.failed(error);
      failures.reportRepeatable('warn', error, 'oauth', { event: 'refused', ...visitorFields(visitor) });
    },

    loginExpired(credential) {
      const error = new SidebearerError('callback_timeout', { credential });
      metrics.loginEnded(credential, error.code);
      metrics.failed(error, credential);
      failures.report('warn', error, { event: 'login_expired' });
    },
  };
}

/** What the token endpoint made of the code; undefined where it was not asked, or its answer was not what failed. */
function exchangeResult({ code, details }: SidebearerError): string | undefined {
  if (code === 'exchange_unreachable' || code === 'exchange_no_answer') return 'network';
  const isAnswer = /^(?:code_rejected|exchange_busy|exchange_failed|exchange_malformed|access_token_malformed)$/.test(
    code,
  );
  return isAnswer && details.status !== undefined ? `${Math.floor(details.status / 100)}xx` : undefined;
}

function visitorFields({ address, userAgent }: Visitor): LogFields {
  return { visitor: address, userAgent: userAgent.slice(0, MAX_USER_AGENT) };
}
