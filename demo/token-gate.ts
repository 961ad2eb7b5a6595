// Stands before and after the demo's token endpoint: counts calls by grant, and lets a test delay them, answer in
// their place, or lose the answer after the token was spent.
import type { IncomingMessage } from 'node:http';
import type { TokenContext } from 'oidc-provider';

export interface TokenCallInfo {
  /** `authorization_code`, `refresh_token`, …; empty where the request names none. */
  readonly grantType: string;
  /** Number of this call among those of its grant, from 1. */
  readonly number: number;
}

/** An answer in the endpoint's place, or `drop`: the connection is cut without one. */
export type InsteadOfAnswer =
  | 'drop'
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown };

export interface TokenHooks {
  /** Before anything is spent. */
  beforeToken?: (call: TokenCallInfo) => Promise<InsteadOfAnswer | undefined> | InsteadOfAnswer | undefined;
  /** After the provider did its work, before its answer goes out. */
  afterToken?: (
    call: TokenCallInfo & { readonly status: number },
  ) => Promise<InsteadOfAnswer | undefined> | InsteadOfAnswer | undefined;
}

export interface TokenGate {
  /** Calls so far by grant type, failed and dropped ones included. */
  readonly counts: Readonly<Record<string, number>>;
  middleware(context: TokenContext, next: () => Promise<void>): Promise<void>;
}

/** @param hooks read at each call: a test may change them while the provider runs */
export function createTokenGate(hooks: TokenHooks): TokenGate {
  const counts: Record<string, number> = {};

  function replace(context: TokenContext, instead: InsteadOfAnswer): void {
    if (instead === 'drop') {
      context.res.socket?.destroy();
      return;
    }
    context.status = instead.status;
    context.set({ 'cache-control': 'no-store', ...instead.headers });
    context.body = instead.body ?? '';
  }

  return {
    counts,
    async middleware(context, next) {
      if (context.method !== 'POST' || context.path !== '/token') return next();
      const body = await readBody(context.req);
      const grantType = new URLSearchParams(body.toString()).get('grant_type') ?? '';
      const number = (counts[grantType] ?? 0) + 1;
      counts[grantType] = number;
      const before = await hooks.beforeToken?.({ grantType, number });
      if (before !== undefined) return replace(context, before);
      await next();
      const after = await hooks.afterToken?.({ grantType, number, status: context.status });
      if (after !== undefined) replace(context, after);
    },
  };
}

/** Reads the body and leaves the request readable once more: oidc-provider takes it by `readable` and `iterator`. */
async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  Object.defineProperties(request, {
    readable: { value: true },
    iterator: { value: () => (body.length > 0 ? [body] : []) },
  });
  return body;
}
