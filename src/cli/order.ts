// An order to the running sidecar: one POST, with the admin token where one is known, and its answer read as foreign
// text. What the sidecar refuses ends the command with the sidecar's own code and next step.
import { readFileSync } from 'node:fs';
import { catalogue, type ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import { type Answer, ask, findListener, readTimeout, type Target } from './running-sidecar.ts';
import { asFields, type Fields, plainText } from './status.ts';

/** All attempts of a refresh, or a logout that waits for one. */
const TIMEOUT_MS = 180_000;
/** What asks no provider, or asks it once. */
const SHORT_TIMEOUT_MS = 60_000;

/** What `--admin-token` may be, and what it is called where it is missing. */
const tokenPattern = /^[!-~]+$/;

/**
 * Sends it and returns the answer's fields; undefined where the configuration has mistakes, which have been told.
 * @throws usage_invalid, sidecar_unreachable, oauth_listener_off, and the code of whatever the sidecar refuses it with
 */
export async function order(
  invocation: Invocation,
  path: string,
  body: Readonly<Record<string, unknown>>,
): Promise<Fields | undefined> {
  const timeoutMs = readTimeout(invocation, TIMEOUT_MS);
  const desk = await findDesk(invocation);
  if (desk === undefined) return undefined;
  const isJson = invocation.flags.has('json');
  const show = (fields: Fields): void => {
    if (isJson) invocation.out(JSON.stringify(fields, null, 2));
  };
  return await desk.send(path, { body, timeoutMs, show });
}

/** Where orders are taken: the OAuth listener, with the admin token that is known for it. */
export interface Desk {
  readonly target: Target;
  /**
   * A POST where there is a body. `show` sees the answer's fields whatever its status.
   * @throws sidecar_unreachable, and the code of whatever the sidecar refuses it with
   */
  send(path: string, request?: DeskRequest): Promise<Fields>;
}

export interface DeskRequest {
  readonly body?: Readonly<Record<string, unknown>>;
  readonly method?: 'DELETE';
  readonly handle?: string | undefined;
  readonly timeoutMs?: number;
  readonly show?: (fields: Fields) => void;
}

/**
 * Undefined where the configuration has mistakes, which have been told.
 * @throws usage_invalid, sidecar_unreachable, oauth_listener_off
 */
export async function findDesk(invocation: Invocation): Promise<Desk | undefined> {
  const written = readAdminToken(invocation);
  const target = await findListener(invocation, 'oauth');
  if (target === undefined) return undefined;
  if (target.listener !== 'oauth') throw new SidebearerError('oauth_listener_off', { setting: 'listen.oauth' });
  return createDesk(target, written ?? target.adminToken);
}

export function createDesk(target: Target, token: string | undefined): Desk {
  return {
    target,
    async send(path, { body, method, handle, timeoutMs = SHORT_TIMEOUT_MS, show } = {}) {
      const answer = await ask(target, path, timeoutMs, {
        ...(body !== undefined && { body: JSON.stringify(body) }),
        ...(method !== undefined && { method }),
        ...(token !== undefined && { token }),
        ...(handle !== undefined && { handle }),
        lateReason: 'no answer in time; what was ordered may still go on',
      });
      const fields = readFields(answer.body);
      if (fields !== undefined) show?.(fields);
      if ((answer.status === 200 || answer.status === 201) && fields !== undefined) return fields;
      throw refusal(target, answer, fields);
    },
  };
}

/** The credential that the command line names. @throws usage_invalid */
export function readCredential({ operand }: Invocation): string {
  if (operand === undefined) throw new SidebearerError('usage_invalid', { reason: 'CREDENTIAL is missing' });
  return operand;
}

/** The credential's status within an answer. */
export function statusIn(answer: Fields): Fields {
  return asFields(answer['credential']);
}

/** @throws usage_invalid */
export function readAdminToken({ flags }: Invocation): string | undefined {
  const file = flags.get('admin-token-file');
  const given = file === undefined ? flags.get('admin-token')?.value : readTokenFile(file.value);
  if (given === undefined || tokenPattern.test(given)) return given;
  throw new SidebearerError('usage_invalid', { reason: 'the admin token is not one line of visible ASCII' });
}

function readTokenFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (thrown) {
    const reason = `--admin-token-file cannot be read (${systemCode(thrown) ?? 'unknown cause'})`;
    throw new SidebearerError('usage_invalid', { reason });
  }
}

function readFields(body: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? asFields(value) : undefined;
  } catch {
    // Not JSON: the caller says so.
    return undefined;
  }
}

/** The sidecar's own error, as its answer tells it. @param problem the answer's fields, where they are known */
export function refusal(
  { name }: Target,
  { status, body }: Answer,
  problem: Fields | undefined = readFields(body),
): SidebearerError {
  const { code, next, detail, credential, provider_code: providerCode } = problem ?? {};
  if (typeof code !== 'string' || !Object.hasOwn(catalogue, code)) {
    const reason = status === 200 ? 'it answers with something else' : `it answers ${status}`;
    return new SidebearerError('sidecar_unreachable', { address: name, reason });
  }
  return new SidebearerError(code as ErrorCode, {
    ...(typeof detail === 'string' && { reason: plainText(detail, 300) }),
    ...(typeof credential === 'string' && { credential: plainText(credential, 80) }),
    ...(typeof providerCode === 'string' && { providerCode: plainText(providerCode, 100) }),
    ...(typeof next === 'string' && { next: plainText(next, 300) }),
  });
}
