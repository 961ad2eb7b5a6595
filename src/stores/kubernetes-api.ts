// The few calls to the API server that a store needs, over undici: read, create, replace and watch one named object.
// Importing a client library would cost every pod 319 ms and 42 to 90 MB. It never logs or repeats what an object holds.
import { Agent, type Dispatcher, request } from 'undici';
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { ServiceAccount } from './kubernetes-account.ts';
import { linesOf, parseJson, readText } from './kubernetes-body.ts';
import { type About, refusal, unavailable, unreachable, words } from './kubernetes-failure.ts';
import { isFields } from './stored-record.ts';

/** An object as the server keeps it; what we do not know stays in it. */
export interface KubernetesObject {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

/** A collection in the namespace: `/api/v1/namespaces/x/secrets`. */
export interface Resource {
  readonly path: string;
  /** `Secret`, for messages. */
  readonly kind: string;
  readonly apiVersion: string;
}

export interface KubernetesApi {
  /** Undefined: there is none. @throws store_unavailable, store_forbidden */
  read(resource: Resource, name: string): Promise<KubernetesObject | undefined>;
  /**
   * Writes the object where its `resourceVersion` is still the current one, or, without one, where there is none.
   * @returns what was written; undefined: a conflict
   * @throws store_unavailable, store_forbidden, store_write_failed
   */
  write(
    resource: Resource,
    object: KubernetesObject,
    options?: { dryRun: boolean },
  ): Promise<KubernetesObject | undefined>;
  /**
   * One watch on one object, until the server or the network ends it.
   * @param event after every change
   * @throws store_unavailable, store_forbidden
   */
  watch(resource: Resource, name: string, options: WatchOptions): Promise<void>;
  close(): Promise<void>;
}

export interface WatchOptions {
  readonly signal: AbortSignal;
  /** Everything after this `resourceVersion` is told; undefined: there is no object yet. */
  readonly since: string | undefined;
  readonly opened: () => void;
  readonly changed: () => void;
}

export interface KubernetesApiOptions {
  /** `https://host:port` */
  readonly url: string;
  readonly account: ServiceAccount;
  readonly clock: Clock;
  readonly random: () => number;
  /** How long an API server that restarts is waited for within one call, ms. */
  readonly patienceMs: number;
}

/** Below the patience of a call: a server that went without a word is asked again, over another connection. */
const REQUEST_TIMEOUT_MS = 5_000;
const WATCH_TIMEOUT_MS = 10_000;
/** The server sends a bookmark about once a minute; a watch that is silent for longer is taken for dead. */
const SILENCE_MS = 150_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;
/** After it was away the server may take as long to read its roles, and refuses what it will allow. */
const RECOVERY_MS = 30_000;

/** undici's, where an answer does not come. */
const silences: ReadonlySet<string> = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly retryAfterMs: number;
}

export function createKubernetesApi(options: KubernetesApiOptions): KubernetesApi {
  const { url, account, clock, random, patienceMs } = options;
  let agent: { readonly authority: string; readonly dispatcher: Agent } | undefined;
  const closing = new AbortController();
  /** What the server has allowed once: one that has just started refuses it until it has read accounts and roles. */
  const allowed = new Set<string>();
  /** Until then a refusal may be that of a server which has just come back, monotonic ms. */
  let recoveringUntilMs = Number.NEGATIVE_INFINITY;

  /** A new one where the authority has changed on disk; requests on the old one end by themselves. */
  const dispatcher = async (): Promise<Dispatcher> => {
    const authority = await account.authority();
    if (closing.signal.aborted) throw new SidebearerError('store_unavailable', { reason: 'the store is closed' });
    if (agent?.authority !== authority) {
      void agent?.dispatcher.close();
      agent = {
        authority,
        dispatcher: new Agent({ connect: { ca: authority, rejectUnauthorized: true, timeout: REQUEST_TIMEOUT_MS } }),
      };
    }
    return agent.dispatcher;
  };

  /** All calls share a connection, and one whose other end is gone would keep the next ones waiting, too. */
  const abandon = (silent: Dispatcher): void => {
    if (agent?.dispatcher === silent) agent = undefined;
    void silent.destroy();
  };

  const send = async (method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<Answer> => {
    const authorization = `Bearer ${await account.token()}`;
    const used = await dispatcher();
    try {
      const answer = await request(`${url}${path}`, {
        dispatcher: used,
        method,
        headers: {
          authorization,
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        headersTimeout: REQUEST_TIMEOUT_MS,
        bodyTimeout: REQUEST_TIMEOUT_MS,
      });
      return {
        status: answer.statusCode,
        body: await readText(answer.body),
        // The API server always says seconds.
        retryAfterMs: Number(/^\d{1,4}$/.exec(String(answer.headers['retry-after']))?.[0] ?? 0) * 1_000,
      };
    } catch (thrown) {
      if (silences.has(systemCode(thrown) ?? '')) abandon(used);
      throw thrown;
    }
  };

  /**
   * Every call may be repeated: a write goes only onto the version that it was made for. So a server that restarts, or
   * that asks us to slow down, costs time and no failure.
   */
  const call = async (method: 'GET' | 'POST' | 'PUT', path: string, about: About, body?: object): Promise<Answer> => {
    const endsAtMs = clock.monotonicMs() + patienceMs;
    let pauseMs = FIRST_PAUSE_MS;
    let hasNewToken = false;
    for (;;) {
      let failure: SidebearerError;
      let leastMs = 0;
      try {
        const answer = await send(method, path, body);
        const { status } = answer;
        if (status === 401 && !hasNewToken) {
          hasNewToken = true;
          account.distrust();
          continue;
        }
        const isRefused = status === 401 || status === 403;
        const isRecovering = clock.monotonicMs() < recoveringUntilMs;
        const mayBeAllowed = isRecovering || allowed.has(words(about));
        if (!(status === 429 || status >= 500 || (isRefused && mayBeAllowed))) {
          // Rights are looked at first: who hears of a conflict or of nothing has them.
          if (!isRefused) allowed.add(words(about));
          return answer;
        }
        if (status === 401) account.distrust();
        if (status >= 500) recoveringUntilMs = clock.monotonicMs() + RECOVERY_MS;
        failure = isRefused && !isRecovering ? refusal(status, about) : unavailable(about, { status });
        leastMs = answer.retryAfterMs;
      } catch (thrown) {
        recoveringUntilMs = clock.monotonicMs() + RECOVERY_MS;
        failure = thrown instanceof SidebearerError ? thrown : unreachable(about, url, thrown);
      }
      const waitMs = Math.max(pauseMs * (0.5 + random() / 2), leastMs);
      if (clock.monotonicMs() + waitMs > endsAtMs || closing.signal.aborted) throw failure;
      await sleep(clock, waitMs, closing.signal);
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  };

  return {
    async read(resource, name) {
      const about = { verb: 'get', resource, name };
      const answer = await call('GET', `${resource.path}/${name}`, about);
      if (answer.status === 404) return undefined;
      if (answer.status === 200) return parseObject(answer.body, about);
      throw refusal(answer.status, about);
    },

    async write(resource, object, { dryRun } = { dryRun: false }) {
      const { name, resourceVersion } = object.metadata;
      const isNew = resourceVersion === undefined;
      const about = { verb: isNew ? 'create' : 'update', resource, name };
      const whole = { apiVersion: resource.apiVersion, kind: resource.kind, ...object };
      const query = `?fieldManager=sidebearer${dryRun ? '&dryRun=All' : ''}`;
      const answer = isNew
        ? await call('POST', `${resource.path}${query}`, about, whole)
        : await call('PUT', `${resource.path}/${name}${query}`, about, whole);
      const { status } = answer;
      // Of what is not made for good the server tells no version.
      if (status === 200 || status === 201) return dryRun ? whole : parseObject(answer.body, about);
      // 409: another version is the current one, or there is one already. 404: it was deleted meanwhile.
      if (status === 409 || (status === 404 && !isNew)) return undefined;
      throw refusal(status, about);
    },

    async watch(resource, name, { signal, since, opened, changed }) {
      const about = { verb: 'watch', resource, name };
      const query = new URLSearchParams({
        watch: 'true',
        fieldSelector: `metadata.name=${name}`,
        allowWatchBookmarks: 'true',
        ...(since !== undefined && { resourceVersion: since }),
        // Ends by itself, each at another time.
        timeoutSeconds: String(300 + Math.floor(random() * 300)),
      });
      let answer: Dispatcher.ResponseData;
      try {
        answer = await request(`${url}${resource.path}?${query}`, {
          dispatcher: await dispatcher(),
          headers: { authorization: `Bearer ${await account.token()}`, accept: 'application/json' },
          headersTimeout: WATCH_TIMEOUT_MS,
          bodyTimeout: SILENCE_MS,
          signal,
        });
      } catch (thrown) {
        throw thrown instanceof SidebearerError ? thrown : unreachable(about, url, thrown);
      }
      const { statusCode: status } = answer;
      if (status !== 200) {
        await answer.body.dump();
        // The version to begin with is too old by now: another look has a newer one.
        if (status === 410) return;
        if (status === 401) account.distrust();
        throw refusal(status, about);
      }
      opened();
      try {
        for await (const line of linesOf(answer.body)) {
          const event = parseJson(line);
          if (!isFields(event) || !isFields(event['object'])) continue;
          // An ERROR is most often 410 Gone: the watch begins anew, and so does the reading.
          if (event['type'] === 'ERROR') return;
          if (event['type'] !== 'BOOKMARK') changed();
        }
      } catch {
        // A stream that breaks is one that has ended: what was missed is read when the next one stands.
      }
    },

    async close() {
      closing.abort();
      const last = agent;
      agent = undefined;
      await last?.dispatcher.destroy();
    },
  };
}

function parseObject(text: string, about: About): KubernetesObject {
  const value = parseJson(text);
  if (isFields(value) && isFields(value['metadata']) && typeof value['metadata']['resourceVersion'] === 'string') {
    return value as unknown as KubernetesObject;
  }
  throw unavailable(about, { reason: `${words(about)}: the answer is no object` });
}
