// Login on another device by RFC 8628: one request begins it, then the token endpoint is asked until a person has
// confirmed. How often is the caller's business; here is one start, and one poll.
import * as oauth from 'oauth4webapi';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { asExchangeError, readLogin } from './authorization-code.ts';
import { deviceCall, readDeviceAuthorization, startFailure, startFields, startRefusal } from './device-start.ts';
import { ask, libraryClient, type OAuthClient, type ProvedAnswer } from './oauth-client.ts';
import type { DeviceLogin, DevicePoll, TokenAnswer } from './provider.ts';
import { givenCodes, standardRules } from './rejection.ts';
import { jsonObject } from './token-answer.ts';

export interface DeviceCodeOptions {
  readonly client: OAuthClient;
  readonly scope: string;
  readonly allowHttp: boolean;
  /** Judges the tokens: id token, account. @throws exchange codes */
  judge(answer: TokenAnswer, server: oauth.AuthorizationServer): Promise<TokenAnswer> | TokenAnswer;
}

export function createDeviceCodeLogin({ client, scope, allowHttp, judge }: DeviceCodeOptions): DeviceLogin {
  const server = (): Promise<oauth.AuthorizationServer> => client.server(deviceCall.timeoutMs);

  return {
    async isOffered() {
      const known = await server().catch(() => undefined);
      return known?.device_authorization_endpoint !== undefined;
    },

    async start() {
      const known = await server();
      if (known.device_authorization_endpoint === undefined) throw new SidebearerError('device_login_unsupported');
      const parameters = { ...client.tokenParams, ...(scope !== '' && { scope }) };
      const answer = await ask(client.call, deviceCall, (options) =>
        oauth.deviceAuthorizationRequest(known, libraryClient(client), client.clientAuth, parameters, options),
      ).catch((thrown: unknown) => {
        throw startFailure(thrown);
      });
      if (!isSuccess(answer)) throw startRefusal(answer, standardRules, answer.proofs);
      const fields = startFields(answer);
      return readDeviceAuthorization(
        {
          userCode: fields['user_code'],
          deviceCode: fields['device_code'],
          // Google's is the name of an early draft.
          verificationUri: fields['verification_uri'] ?? fields['verification_url'],
          verificationUriComplete: fields['verification_uri_complete'],
          interval: fields['interval'],
          expiresIn: fields['expires_in'],
        },
        allowHttp,
      );
    },

    async poll({ deviceCode }) {
      const known = await server();
      let answer: ProvedAnswer;
      try {
        answer = await ask(client.call, deviceCall, (options) =>
          oauth.deviceCodeGrantRequest(known, libraryClient(client), client.clientAuth, deviceCode, {
            ...options,
            additionalParameters: client.tokenParams,
          }),
        );
      } catch (thrown) {
        return unanswered(thrown);
      }
      // Some answer an error with 200, and some what is pending with 403 or 428: the word counts.
      const fields = jsonObject(answer.body);
      if (fields?.['access_token'] === undefined) {
        const state = stateOf(givenCodes(answer.body));
        if (state !== undefined) return state;
      }
      // A page in the place of an answer says nothing about the login.
      if (isSuccess(answer) && fields === undefined) return unanswered(malformed(answer.status));
      let read: TokenAnswer;
      try {
        read = readLogin(client, answer, [deviceCode]);
      } catch (thrown) {
        const error = toSidebearerError(thrown);
        if (isSuccess(answer) || error.row.outcome === 'rejected') throw error;
        return { kind: 'unanswered', error };
      }
      return { kind: 'tokens', tokens: await judge(read, known) };
    },
  };
}

/** A poll that says nothing. @throws whatever is no failure of the endpoint or of the way to it */
export function unanswered(thrown: unknown): DevicePoll {
  const error = asExchangeError(toSidebearerError(thrown));
  if (error.row.outcome === 'rejected') throw error;
  return { kind: 'unanswered', error };
}

export function malformed(status: number): SidebearerError {
  return new SidebearerError('token_endpoint_malformed', { status, reason: 'it is not a JSON object' });
}

/** RFC 8628, section 3.5. @throws device_denied, device_expired */
function stateOf(given: readonly string[]): DevicePoll | undefined {
  for (const code of given) {
    switch (code.toLowerCase()) {
      case 'authorization_pending':
        return { kind: 'pending' };
      case 'slow_down':
        return { kind: 'slow_down' };
      case 'access_denied':
      // Entra's word for it.
      case 'authorization_declined':
        throw new SidebearerError('device_denied', { providerCode: code });
      case 'expired_token':
        throw new SidebearerError('device_expired', { providerCode: code });
    }
  }
  return undefined;
}

function isSuccess({ status }: ProvedAnswer): boolean {
  return status >= 200 && status <= 299;
}
