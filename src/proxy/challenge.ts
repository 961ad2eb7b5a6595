// Why an upstream refused a token, read from `WWW-Authenticate` (RFC 6750 §3). One word of a closed list comes out:
// what else stands there is foreign text, and may repeat the token.

const words = [
  'invalid_request',
  'invalid_token',
  'insufficient_scope',
  // RFC 9470
  'insufficient_user_authentication',
  // RFC 9449
  'use_dpop_nonce',
  'invalid_dpop_proof',
] as const;

export type Challenge = (typeof words)[number];

/** A value that goes on for longer than this is not looked through. */
const MOST_CHARACTERS = 4096;

/** The `error` of the first challenge that has one we know. */
export function challengeOf(rawHeaders: readonly string[]): Challenge | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== 'www-authenticate') continue;
    const value = (rawHeaders[i + 1] ?? '').slice(0, MOST_CHARACTERS);
    // Without its quoted texts, in which anything may stand.
    const named = /(?:^|[\s,])error[ \t]*=[ \t]*(?:"([a-z_]+)"|([a-z_]+))/i.exec(hideOtherTexts(value));
    const word = words.find((each) => each === (named?.[1] ?? named?.[2]));
    if (word !== undefined) return word;
  }
  return undefined;
}

/** Texts of parameters other than `error`. */
function hideOtherTexts(value: string): string {
  // From a name's first character only: a long one would be begun anew at each of its characters.
  return value.replace(/(?<![\w-])([\w-]+)([ \t]*=[ \t]*)"(?:[^"\\]|\\.)*"/g, (whole, name: string, equals: string) =>
    name.toLowerCase() === 'error' ? whole : `${name}${equals}""`,
  );
}
