// An egress proxy as the configuration names it, read once. Its user and password go into one header for that proxy
// and are never part of its name in logs, metrics and errors.

export interface EgressProxy {
  /** Spoken to over TLS, and then judged by the certificates that Node trusts. */
  readonly isTls: boolean;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** `host:port`, for people and metric labels. */
  readonly name: string;
  /** The value of `Proxy-Authorization` (RFC 7617), where the URL has a user. A secret. */
  readonly authorization: string | undefined;
}

/** `http://host:port`, `https://user:password@host`, or as in HTTPS_PROXY without a scheme; undefined: none of these. */
export function parseEgressProxy(text: string): EgressProxy | undefined {
  if (/[\s\p{Cc}\\]/u.test(text)) return undefined;
  const full = text.includes('://') ? text : `http://${text}`;
  if (!/^https?:\/\/[^/?#]+\/?$/i.test(full) || !URL.canParse(full)) return undefined;
  const url = new URL(full);
  const isTls = url.protocol === 'https:';
  const authorization = basicOf(url);
  if (authorization === 'invalid') return undefined;
  const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port);
  return {
    isTls,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    name: `${url.hostname}:${port}`,
    authorization,
  };
}

function basicOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  try {
    const user = decodeURIComponent(username);
    // Basic has no way to tell a colon of the user's name from the one that ends it.
    if (user.includes(':')) return 'invalid';
    return `Basic ${Buffer.from(`${user}:${decodeURIComponent(password)}`).toString('base64')}`;
  } catch {
    return 'invalid';
  }
}
