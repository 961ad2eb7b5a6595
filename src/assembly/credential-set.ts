// All credentials of a running sidecar. A configuration is prepared first, with everything that may fail, and then put
// in force at once: credentials whose settings say what they said before are not touched.
import type { Config, CredentialConfig } from '../config/schema.ts';
import { type CredentialMemory, createMemory } from '../credentials/memory.ts';
import { type CredentialSlice, Refresher } from '../credentials/refresher.ts';
import { createSchedule } from '../credentials/schedule.ts';
import { createTokenCache } from '../credentials/token-cache.ts';
import type { Way } from '../egress/way.ts';
import { toSidebearerError } from '../errors/sidebearer-error.ts';
import { type BreakerPlace, createBreakers } from './breakers.ts';
import { type CredentialMeans, createProvidedSlice, createWrittenSlice } from './credential.ts';
import { createProvider } from './provider.ts';
import { placeOf, tokenIdentity } from './token-source.ts';
import type { Ways } from './ways.ts';

export interface CredentialSet {
  /** Those in force, in the order of the configuration; always the same map. */
  readonly all: ReadonlyMap<string, Refresher>;
  /**
   * Builds what differs from what is in force and reads what is stored of it; changes and sends nothing. It is to be
   * committed before another one is prepared, or dropped.
   */
  prepare(config: Config, ways: Ways): Promise<PreparedCredentials>;
  /** Those that came since begin to renew. */
  start(): void;
  /** After a change of keys: what could not be opened may open now. */
  lookAgain(): void;
  /** No renewal begins any more; resolves when those that were sent, and their commits, have ended. */
  stop(): Promise<void>;
  /** Whose tokens are not durable, those of credentials that were taken out included. */
  dirty(): readonly string[];
  close(): void;
}

export interface PreparedCredentials {
  /** Puts it in force, in this turn. @returns the names that are gone */
  commit(): readonly string[];
  drop(): void;
}

/** One credential, and what it was made of. */
interface Part {
  readonly refresher: Refresher;
  readonly memory: CredentialMemory;
  readonly blueprint: Blueprint;
}

interface Blueprint {
  /** The settings; equal text, equal way: nothing was changed. */
  readonly text: string;
  readonly way: Way | undefined;
  /** Whose tokens are the same. */
  readonly identity: string;
  /** Absent where no endpoint is asked. */
  readonly place: BreakerPlace | undefined;
}

/** A part that is to take its place. */
interface Draft {
  readonly part: Part;
  /** Absent: a credential that is new, loaded and not started. */
  readonly change?: () => void;
}

export function createCredentialSet(means: CredentialMeans): CredentialSet {
  const { clock, observer } = means;
  const all = new Map<string, Refresher>();
  let parts: ReadonlyMap<string, Part> = new Map();
  /** Taken out of the configuration, and not yet over. One that comes back meanwhile goes on. */
  const leaving = new Map<string, Part>();
  const cache = createTokenCache(1);
  const schedule = createSchedule(clock, (name) => all.get(name)?.due());
  const breakers = createBreakers(clock, observer);

  async function build(
    name: string,
    settings: CredentialConfig,
    way: Way | undefined,
    memory: CredentialMemory,
  ): Promise<{ slice: CredentialSlice; blueprint: Blueprint }> {
    const text = JSON.stringify(settings);
    if (settings.provider === 'file') {
      const slice = await createWrittenSlice(name, settings, memory, means);
      return { slice, blueprint: { text, way, identity: `file ${settings.path}`, place: undefined } };
    }
    const provider = await createProvider(settings, clock, way);
    const place = placeOf(provider, way, settings);
    const slice = createProvidedSlice(name, settings, { provider, breaker: breakers.at(place), memory }, means);
    return { slice, blueprint: { text, way, identity: tokenIdentity(settings, provider), place } };
  }

  async function draft(name: string, settings: CredentialConfig, way: Way | undefined): Promise<Draft> {
    const known = parts.get(name) ?? leaving.get(name);
    const isSame = known?.blueprint.text === JSON.stringify(settings) && known.blueprint.way === way;
    if (known !== undefined && isSame && parts.has(name)) return { part: known, change: () => undefined };
    const memory = known?.memory ?? createMemory();
    const { slice, blueprint } = await build(name, settings, way, memory);
    if (known === undefined) {
      const refresher = new Refresher({ ...slice, name, cache, schedule, clock, random: Math.random, observer });
      await refresher.load();
      return { part: { refresher, memory, blueprint } };
    }
    const { refresher } = known;
    const keepsToken = blueprint.identity === known.blueprint.identity;
    const reading = await slice.source.read().catch(toSidebearerError);
    const change = (): void => refresher.reconfigure(slice, reading, keepsToken);
    return { part: { refresher, memory, blueprint }, change };
  }

  function placesOf(of: ReadonlyMap<string, Part>): BreakerPlace[] {
    return [...of.values()].flatMap(({ blueprint: { place } }) => place ?? []);
  }

  function leave(name: string, part: Part): void {
    leaving.set(name, part);
    void part.refresher.stop().then(() => {
      if (leaving.get(name) !== part) return;
      leaving.delete(name);
      cache.delete(name);
    });
  }

  return {
    all,

    async prepare({ credentials }, { ofCredentials }) {
      cache.resize(parts.size + leaving.size + Object.keys(credentials).length);
      const entries = Object.entries(credentials);
      // One after the other: each looks for its breaker.
      const drafting: Promise<Draft>[] = [];
      for (const [name, settings] of entries) drafting.push(draft(name, settings, ofCredentials.get(name)));
      const drop = (made: readonly Draft[]): void => {
        for (const { part, change } of made) {
          if (change !== undefined) continue;
          void part.refresher.stop();
          cache.delete(part.refresher.name);
        }
        breakers.keep(placesOf(parts));
      };
      const settled = await Promise.allSettled(drafting);
      const drafts = settled.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
      const failed = settled.find((each) => each.status === 'rejected');
      if (failed !== undefined) {
        drop(drafts);
        throw failed.reason;
      }
      return {
        commit() {
          const before = parts;
          parts = new Map(drafts.map(({ part }) => [part.refresher.name, part]));
          breakers.keep(placesOf(parts));
          all.clear();
          for (const [name, { refresher }] of parts) {
            leaving.delete(name);
            all.set(name, refresher);
          }
          const gone = [...before].filter(([name]) => !parts.has(name));
          for (const [name, part] of gone) leave(name, part);
          for (const { change } of drafts) change?.();
          return gone.map(([name]) => name);
        },
        drop: () => drop(drafts),
      };
    },

    start() {
      for (const refresher of all.values()) void refresher.start();
    },

    lookAgain() {
      for (const refresher of all.values()) refresher.lookAgain('record_unopenable');
    },

    async stop() {
      schedule.stop();
      await Promise.all(
        [...all.values(), ...[...leaving.values()].map(({ refresher }) => refresher)].map((each) => each.stop()),
      );
    },

    dirty: () =>
      [...parts.values(), ...leaving.values()].flatMap(({ refresher }) => {
        const { name, isDirty } = refresher.status();
        return isDirty ? [name] : [];
      }),

    close: () => breakers.stop(),
  };
}
