// Several credentials behind one route, seen by the proxy as one Bearer. A member is chosen once a request; what comes
// of its token is that member's alone, and no header of one member is ever sent with another's. It holds no token.
import type { Clock } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { LimitReader, UpstreamLimit } from '../providers/provider.ts';
import type { AnswerWatch, Authorization, Bearer } from './bearer.ts';
import { type Need, PROBATION_MS } from './credential.ts';

/** What a pool needs of a credential besides what a request does. */
export interface PoolMember extends Bearer {
  readonly limits: LimitReader | undefined;
  /** What speaks against its usable token: 0 nothing, more the worse. */
  reluctance(): number;
  /** What a request without a usable token would get. Begins nothing. */
  need(): Need;
  /** Others are to be taken for a while: the upstream told of a limit. */
  rest(limit: UpstreamLimit): void;
}

export interface PoolOptions {
  /** Two or more, in the order of the configuration. */
  readonly members: readonly PoolMember[];
  readonly choice: 'order' | 'round-robin';
  /** A member rests when the upstream tells of a limit. */
  readonly restsOnLimit: boolean;
  /** No further member is waited for after this, ms. */
  readonly waitMs: number;
  readonly clock: Clock;
}

/** A token that was refused, and that its credential could not replace. */
interface Refusal {
  readonly generation: number;
  readonly untilMs: number;
}

/** Of a refused token, where its credential does not know yet that it is: above a dead grant, below a rest. */
const REFUSED = 2;
/** Nobody waits for what is begun for the next requests. */
const nobody = new AbortController().signal;

export function createPool({ members, choice, restsOnLimit, waitMs, clock }: PoolOptions): Bearer {
  const byName = new Map(members.map((member) => [member.name, member]));
  const refusals = new Map<string, Refusal>();
  /** Whose turn it is; `order` always begins at the first. */
  let turn = 0;

  function memberOf({ credential }: Authorization): PoolMember {
    const member = byName.get(credential);
    if (member === undefined) throw new SidebearerError('internal_error', { credential });
    return member;
  }

  function reluctanceOf(member: PoolMember, { generation }: Authorization): number {
    const own = member.reluctance();
    const refusal = refusals.get(member.name);
    if (refusal === undefined) return own;
    if (refusal.generation === generation && clock.monotonicMs() < refusal.untilMs) return Math.max(own, REFUSED);
    refusals.delete(member.name);
    return own;
  }

  /** The first token that nothing speaks against, else the one that least does. */
  function choose(except?: PoolMember): Authorization | undefined {
    let best: Authorization | undefined;
    let least = Number.POSITIVE_INFINITY;
    let next = turn;
    for (let step = 0; step < members.length; step += 1) {
      const at = (turn + step) % members.length;
      const member = members[at];
      const authorization = member === undefined || member === except ? undefined : member.authorization();
      if (member === undefined || authorization === undefined) continue;
      const reluctance = reluctanceOf(member, authorization);
      if (reluctance >= least) continue;
      best = authorization;
      least = reluctance;
      next = (at + 1) % members.length;
      if (reluctance === 0) break;
    }
    if (choice === 'round-robin') turn = next;
    return best;
  }

  /** Whom to wait for: one that is being refreshed, else one that can be. */
  function awaitable(tried: ReadonlySet<PoolMember>): PoolMember | undefined {
    let startable: PoolMember | undefined;
    for (const member of members) {
      if (tried.has(member)) continue;
      const need = member.need();
      if (need.kind !== 'wait') continue;
      if (!need.start) return member;
      startable ??= member;
    }
    return startable;
  }

  /** The one that may be had first: its error is the pool's. */
  function earliest(): PoolMember | undefined {
    let best: PoolMember | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const member of members) {
      const need = member.need();
      const retryAfterMs = (need.kind === 'fail' ? need.retryAfterMs : 0) ?? Number.POSITIVE_INFINITY;
      if (best !== undefined && retryAfterMs >= least) continue;
      best = member;
      least = retryAfterMs;
    }
    return best;
  }

  async function wait(signal: AbortSignal): Promise<Authorization> {
    const untilMs = clock.monotonicMs() + waitMs;
    const tried = new Set<PoolMember>();
    let inVain: unknown = new SidebearerError('refresh_wait_timeout', { retryAfterMs: 1_000 });
    for (let member = awaitable(tried); member !== undefined; member = awaitable(tried)) {
      tried.add(member);
      try {
        return await member.wait(signal);
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        const ready = choose();
        if (ready !== undefined) return ready;
        inVain = thrown;
        if (clock.monotonicMs() >= untilMs) break;
      }
    }
    const first = earliest();
    // One that could be waited for has been, in vain: whoever comes again may find it ready.
    if (first === undefined || first.need().kind === 'wait') throw inVain;
    return await first.wait(signal);
  }

  /** The answer to `refused` was 401, and its credential has nothing better. */
  function renounce(member: PoolMember, refused: Authorization): Authorization | undefined {
    const current = member.authorization();
    if (current?.generation === refused.generation) {
      refusals.set(member.name, {
        generation: refused.generation,
        untilMs: clock.monotonicMs() + PROBATION_MS,
      });
    }
    const other = choose(member);
    // Not to the next that was refused: each would meet the 401 of a path that answers nothing else.
    return other !== undefined && reluctanceOf(memberOf(other), other) < REFUSED ? other : undefined;
  }

  const answers: AnswerWatch = {
    head(sent, status, rawHeaders) {
      const member = memberOf(sent);
      member.answers?.head(sent, status, rawHeaders);
      if (!restsOnLimit || status < 400 || member.limits === undefined) return false;
      const limit = member.limits.head(status, rawHeaders);
      if (limit !== undefined) member.rest(limit);
      return member.limits.hasMore(status, rawHeaders);
    },
    body(sent, start) {
      const member = memberOf(sent);
      const limit = member.limits?.body(start);
      if (limit !== undefined) member.rest(limit);
    },
  };

  return {
    name: members.map(({ name }) => name).join(','),
    injectedNames: [...new Set(members.flatMap(({ injectedNames }) => injectedNames))],
    authorization: () => choose(),

    wait(signal) {
      const ready = choose();
      return ready === undefined ? wait(signal) : Promise.resolve(ready);
    },

    async renewed(refused, signal) {
      const member = memberOf(refused);
      try {
        const renewed = await member.renewed(refused, signal);
        if (renewed !== undefined) return renewed;
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        return renounce(member, refused) ?? Promise.reject(toSidebearerError(thrown));
      }
      return renounce(member, refused);
    },

    replayed(sent, accepted, refused) {
      const member = memberOf(sent);
      if (accepted) refusals.delete(sent.credential);
      if (accepted || sent.credential === refused.credential) member.replayed(sent, accepted, refused);
      // Another member's token is no fresh one: it has its own refresh coming, and the next request gets the fruit.
      else member.renewed(sent, nobody).catch(() => undefined);
    },

    answers: restsOnLimit || members.some((member) => member.answers !== undefined) ? answers : undefined,
  };
}
