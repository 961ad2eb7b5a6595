// `/events`: who has the status page open sees every change within a second (server-sent events). One timer serves all
// of them, and only while there is one; a page that does not read gets the latest later, never a queue.
import type { ServerResponse } from 'node:http';
import type { Clock, Timer } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { type Answer, streamAnswer } from './answer.ts';
import type { Region } from './pages/status-page.ts';
import type { Texts } from './texts/english.ts';
import type { Endpoint } from './visit.ts';

export interface LiveOptions {
  readonly clock: Clock;
  /** The regions of the page as they are now. */
  readonly render: (texts: Texts) => readonly Region[];
  /** Between two looks, ms: at least a second, and longer where there is much to render. */
  readonly intervalMs: number;
}

export interface Live {
  readonly endpoint: Endpoint;
  /** Ends all streams. */
  close(): void;
}

interface Listener {
  readonly texts: Texts;
  readonly response: ServerResponse;
  /** What it was sent last, by region. */
  readonly shown: Map<string, string>;
  quietMs: number;
}

/** A tunnel that carries nothing is taken for dead by whoever is in between; and only a write finds a dead peer. */
const HEARTBEAT_MS = 15_000;
/** Above it the oldest makes room: a browser that was cut off comes back by itself. */
const MOST_LISTENERS = 64;

export function createLive({ clock, render, intervalMs }: LiveOptions): Live {
  const listeners = new Set<Listener>();
  let timer: Timer | undefined;
  let isClosed = false;

  const tick = (): void => {
    timer = undefined;
    const rendered = new Map<Texts, readonly Region[]>();
    for (const listener of listeners) {
      const regions = rendered.get(listener.texts) ?? render(listener.texts);
      rendered.set(listener.texts, regions);
      send(listener, regions);
    }
    arm();
  };

  const send = (listener: Listener, regions: readonly Region[]): void => {
    const { response, shown } = listener;
    if (response.writableNeedDrain) return;
    const changed = regions.filter(({ id, content }) => shown.get(id) !== content);
    listener.quietMs += intervalMs;
    if (changed.length > 0) {
      for (const { id, content } of changed) shown.set(id, content);
      response.write(`data: ${JSON.stringify(changed.map(({ id, content }) => [id, content]))}\n\n`);
      listener.quietMs = 0;
    } else if (listener.quietMs >= HEARTBEAT_MS) {
      response.write(':\n\n');
      listener.quietMs = 0;
    }
  };

  const arm = (): void => {
    if (timer === undefined && listeners.size > 0 && !isClosed)
      timer = clock.after(intervalMs, tick, { background: true });
  };

  const open = (response: ServerResponse, texts: Texts): void => {
    if (isClosed) return void response.end();
    const [oldest] = listeners;
    if (listeners.size >= MOST_LISTENERS) oldest?.response.end();
    const listener: Listener = { texts, response, shown: new Map(), quietMs: 0 };
    listeners.add(listener);
    response.once('close', () => {
      listeners.delete(listener);
      if (listeners.size === 0) timer?.cancel();
      if (listeners.size === 0) timer = undefined;
    });
    // The page is older than this stream: what changed in between is in the first message.
    send(listener, render(texts));
    arm();
  };

  return {
    endpoint({ request, texts }): Answer {
      // Any page may open a stream to localhost; only our own has a use for it.
      const site = request.headers['sec-fetch-site'];
      if (site !== undefined && site !== 'same-origin') throw new SidebearerError('origin_forbidden');
      return streamAnswer('text/event-stream', (response) => open(response, texts));
    },
    close() {
      isClosed = true;
      timer?.cancel();
      for (const { response } of listeners) response.end();
    },
  };
}
