// Codex's own login on another device: JSON instead of forms, and a code with its verifier at the end of it, which is
// then exchanged as that of a browser would be. As the Codex CLI does it, value for value.
import type * as oauth from 'oauth4webapi';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { asExchangeError, type CodeRedemption, redeemCode } from './authorization-code.ts';
import { malformed, unanswered } from './device-code.ts';
import { deviceCall, readDeviceAuthorization, startFailure, startFields, startRefusal } from './device-start.ts';
import type { DeviceLogin, TokenAnswer } from './provider.ts';
import { rejectionOf, standardRules } from './rejection.ts';
import { jsonObject } from './token-answer.ts';
import type { EndpointAnswer } from './token-endpoint.ts';

export interface CodexDeviceOptions {
  readonly client: CodeRedemption['client'];
  readonly server: oauth.AuthorizationServer;
  /** Where user codes are given; the other addresses stand beside it. */
  readonly deviceUrl: string;
  readonly allowHttp: boolean;
  judge(answer: TokenAnswer): TokenAnswer;
}

const VERIFICATION_PATH = '/codex/device';
const CALLBACK_PATH = '/deviceauth/callback';

export function createCodexDeviceLogin(options: CodexDeviceOptions): DeviceLogin {
  const { client, server, deviceUrl, allowHttp } = options;
  const at = (path: string): string => new URL(path, deviceUrl).href;
  const post = (url: string, body: object): Promise<EndpointAnswer> => {
    const headers = { 'content-type': 'application/json', accept: 'application/json' };
    return client.call(url, { method: 'POST', headers, body: JSON.stringify(body) }, deviceCall);
  };

  return {
    isOffered: () => Promise.resolve(true),

    async start() {
      const answer = await post(deviceUrl, { client_id: client.clientId }).catch((thrown: unknown) => {
        throw startFailure(thrown);
      });
      if (answer.status === 404) throw new SidebearerError('device_login_disabled', { status: answer.status });
      if (!isSuccess(answer)) throw startRefusal(answer, standardRules, []);
      const fields = startFields(answer);
      return readDeviceAuthorization(
        {
          userCode: fields['user_code'] ?? fields['usercode'],
          deviceCode: fields['device_auth_id'],
          verificationUri: at(VERIFICATION_PATH),
          interval: fields['interval'],
        },
        allowHttp,
      );
    },

    async poll({ deviceCode, userCode }) {
      let answer: EndpointAnswer;
      try {
        answer = await post(at('token'), { device_auth_id: deviceCode, user_code: userCode });
      } catch (thrown) {
        return unanswered(thrown);
      }
      const { status } = answer;
      if (!isSuccess(answer)) {
        const refusal = rejectionOf(answer, standardRules, [deviceCode, userCode]);
        // Both mean that nobody has confirmed yet; a country that is not served stands at 403 as well.
        const isPending = status === 404 || (status === 403 && refusal.code !== 'region_unsupported');
        return isPending ? { kind: 'pending' } : unanswered(refusal);
      }
      const fields = jsonObject(answer.body);
      if (fields === undefined) return unanswered(malformed(status));
      const { authorization_code: code, code_verifier: verifier } = fields;
      if (typeof code !== 'string' || code === '' || typeof verifier !== 'string' || verifier === '') {
        throw asExchangeError(
          new SidebearerError('token_endpoint_malformed', { status, reason: 'it holds no code with its verifier' }),
        );
      }
      const by = { client, redirectUri: at(CALLBACK_PATH), hasIssuer: false };
      return { kind: 'tokens', tokens: options.judge(await redeemCode(by, server, code, verifier)) };
    },
  };
}

function isSuccess({ status }: EndpointAnswer): boolean {
  return status >= 200 && status <= 299;
}
