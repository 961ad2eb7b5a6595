// What the demo's identity provider remembers: everything, in memory, until it expires. It outlives a stop of the
// listener, as a real provider's database does.

/** An entity of oidc-provider as it is stored. */
export interface Payload {
  readonly grantId?: string;
  readonly uid?: string;
  readonly userCode?: string;
  consumed?: number;
  readonly [key: string]: unknown;
}

interface Entry {
  readonly model: string;
  readonly id: string;
  readonly payload: Payload;
  readonly expiresAtMs: number;
}

/** What belongs to a grant and goes with it. */
const grantable = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode']);

export class ProviderStorage {
  readonly #entries = new Map<string, Entry>();

  /** oidc-provider's adapter contract for one model. */
  adapter(model: string) {
    const keyOf = (id: string): string => `${model}:${id}`;
    const findBy = (name: 'uid' | 'userCode', value: string): Payload | undefined =>
      this.#living().find((entry) => entry.model === model && entry.payload[name] === value)?.payload;
    return {
      upsert: async (id: string, payload: Payload, expiresInSeconds?: number): Promise<void> => {
        const expiresAtMs = expiresInSeconds ? Date.now() + expiresInSeconds * 1000 : Number.POSITIVE_INFINITY;
        this.#entries.set(keyOf(id), { model, id, payload, expiresAtMs });
      },
      find: async (id: string): Promise<Payload | undefined> => {
        const entry = this.#entries.get(keyOf(id));
        return entry !== undefined && entry.expiresAtMs > Date.now() ? entry.payload : undefined;
      },
      findByUid: async (uid: string) => findBy('uid', uid),
      findByUserCode: async (userCode: string) => findBy('userCode', userCode),
      consume: async (id: string): Promise<void> => {
        const entry = this.#entries.get(keyOf(id));
        if (entry !== undefined) entry.payload.consumed = Math.floor(Date.now() / 1000);
      },
      destroy: async (id: string): Promise<void> => void this.#entries.delete(keyOf(id)),
      revokeByGrantId: async (grantId: string): Promise<void> =>
        this.remove((entry) => grantable.has(entry.model) && entry.payload.grantId === grantId),
    };
  }

  remove(isGone: (entry: { readonly model: string; readonly payload: Payload }) => boolean): void {
    for (const [key, entry] of this.#entries) if (isGone(entry)) this.#entries.delete(key);
  }

  #living(): Entry[] {
    const nowMs = Date.now();
    for (const [key, entry] of this.#entries) if (entry.expiresAtMs <= nowMs) this.#entries.delete(key);
    return [...this.#entries.values()];
  }
}
