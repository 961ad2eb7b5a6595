// What a person pastes after a login whose callback could not be reached: the address that the browser ended at, or a
// piece of it. Nothing is judged here: what is found is judged as a callback is.
import { SidebearerError } from '../errors/sidebearer-error.ts';

/** Far above any callback's address. */
const MAX_LENGTH = 16_384;

/** A name that only an answer of ours to look for would have, at the beginning of a list of parameters. */
const parameters = /(?:^|&)(?:code|error|state|error_description|iss|scope|session_state)=/;
const address = /^(?:[a-z][a-z0-9+.-]*:\/\/|localhost(?=[:/])|\[[0-9a-f:.]+\]|[\w.-]+:\d+(?=\/)|\/)/i;

/**
 * The parameters of the answer: from a whole address, one without scheme or without host, a query, a fragment,
 * `code#state`, or any of them with the provider's `error`. Undefined where there is neither a code nor an error.
 */
export function readPastedAnswer(pasted: string): URLSearchParams | undefined {
  if (pasted.length > MAX_LENGTH) return undefined;
  const text = unwrap(pasted);
  for (const part of partsOf(text)) {
    const found = new URLSearchParams(part);
    if (found.has('code') || found.has('error')) return found;
  }
  return codeAndState(text);
}

/** The field `pasted`. @throws admin_request_malformed, paste_not_understood */
export function readPaste(fields: URLSearchParams): URLSearchParams {
  const pasted = fields.get('pasted');
  if (pasted === null) throw new SidebearerError('admin_request_malformed', { reason: 'the field pasted is missing' });
  const parameters = readPastedAnswer(pasted);
  if (parameters === undefined) throw new SidebearerError('paste_not_understood');
  return parameters;
}

/** Where parameters may stand: the query first, as some providers put a word of their own into the fragment. */
function partsOf(text: string): string[] {
  const hash = text.indexOf('#');
  const before = hash === -1 ? text : text.slice(0, hash);
  const fragment = hash === -1 ? '' : text.slice(hash + 1);
  const mark = before.indexOf('?');
  const query = mark === -1 ? before : before.slice(mark + 1);
  // An address without a query has no parameters, whatever equal signs its path holds.
  const isQuery = mark !== -1 || !address.test(before);
  return [isQuery ? query : '', fragment.replace(/^\?/, '')].filter((part) => parameters.test(part));
}

/** The two alone, as some providers show them for copying. */
function codeAndState(text: string): URLSearchParams | undefined {
  const [code = '', state = '', ...others] = text.split('#');
  if (code === '' || state === '' || others.length > 0) return undefined;
  if (/\s/.test(text) || address.test(code) || parameters.test(code) || parameters.test(state)) return undefined;
  return new URLSearchParams({ code, state });
}

/** Without what mail, chat, terminals and page sources put around or into an address. */
function unwrap(pasted: string): string {
  const lines = pasted.split(/[\r\n]+/);
  const joined = lines.map((line) => line.trim()).join('');
  const bare = /^(["'`<(])(.*)["'`>)]$/s.exec(joined)?.[2] ?? joined;
  return bare.trim().replaceAll('&amp;', '&');
}
