// What the kubelet is told, as pure functions of what is known. Startup is green without any credential: a pod that
// is not Running cannot be port-forwarded to, and nobody could ever log in.
import type { CredentialStatus } from '../credentials/bearer.ts';

export interface ProbeFacts {
  /** The listeners that must be bound are bound. */
  readonly isBound: boolean;
  /** SIGTERM was received. */
  readonly isStopping: boolean;
  /** `readiness.require`. */
  readonly require: 'none' | 'any' | 'all';
  /** Called only where the answer depends on it. */
  readonly credentials: () => readonly Pick<CredentialStatus, 'name' | 'state' | 'usable'>[];
}

export interface ProbeAnswer {
  readonly ok: boolean;
  /** Why not, each one sentence; at most a dozen. */
  readonly reasons: readonly string[];
}

const MAX_NAMED = 10;

/** That this runs at all is the answer. */
export function live(): ProbeAnswer {
  return { ok: true, reasons: [] };
}

export function started({ isBound }: ProbeFacts): ProbeAnswer {
  return answer(isBound ? [] : ['The listeners are not bound yet.']);
}

export function ready(facts: ProbeFacts): ProbeAnswer {
  const { isBound, isStopping, require } = facts;
  if (isStopping) return answer(['The process is stopping.']);
  if (!isBound) return answer(['The listeners are not bound yet.']);
  if (require === 'none') return answer([]);
  const credentials = facts.credentials();
  const unusable = credentials.filter(({ usable }) => !usable);
  const isMet = require === 'all' ? unusable.length === 0 : unusable.length < credentials.length;
  if (isMet) return answer([]);
  const reasons = unusable
    .slice(0, MAX_NAMED)
    .map(({ name, state }) => `Credential ${name} has no usable token (${state}).`);
  if (unusable.length > MAX_NAMED) reasons.push(`${unusable.length - MAX_NAMED} more have none.`);
  return answer(reasons.length > 0 ? reasons : ['There is no credential.']);
}

function answer(reasons: readonly string[]): ProbeAnswer {
  return { ok: reasons.length === 0, reasons };
}
