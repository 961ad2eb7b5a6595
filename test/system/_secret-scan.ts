// Looks for known secrets in everything that left the program: as they are, URL-encoded, escaped for JSON and HTML, in
// base64, base64url and hex, whole or by their first or last 16 characters. It names what it found and where, and
// never prints the secret.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { html } from '../../src/oauth/html.ts';

const PIECE_LENGTH = 16;
/** No form of a piece is shorter. */
const START_LENGTH = 16;

export interface SecretScan {
  /** A secret from now on, for what was seen before as well. @param kind what it is, for the finding */
  add(kind: string, secret: string): void;
  /** Kinds that were added. */
  readonly kinds: ReadonlySet<string>;
  /** Something that left the program. */
  saw(where: string, text: string): void;
  /** Every file below the folder, with its name. */
  sawFolder(where: string, folder: string): void;
  /** How many texts, and how many characters, were seen. */
  readonly seen: { readonly texts: number; readonly characters: number };
  /** `KIND as ENCODING in WHERE`, each once. */
  findings(): string[];
}

export function createSecretScan(): SecretScan {
  const secrets = new Map<string, string>();
  /** Of equal texts one is kept: pages and metrics repeat. */
  const texts = new Map<string, string>();

  return {
    add(kind, secret) {
      if (secret.length < PIECE_LENGTH) throw new Error(`too short to be told from chance: ${kind}`);
      secrets.set(secret, kind);
    },
    get kinds() {
      return new Set(secrets.values());
    },
    saw(where, text) {
      texts.set(text, texts.get(text) ?? where);
    },
    sawFolder(where, folder) {
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        texts.set(path.slice(folder.length), `${where} (a name)`);
        if (entry.isFile()) texts.set(readIfThere(path), `${where} (${path.slice(folder.length)})`);
      }
    },
    get seen() {
      const all = [...texts.keys()];
      return { texts: all.length, characters: all.reduce((sum, { length }) => sum + length, 0) };
    },
    findings() {
      // Thousands of forms in megabytes of text: all are looked for at once, by how they begin.
      const byStart = new Map<string, { form: string; what: string }[]>();
      for (const [secret, kind] of secrets) {
        for (const [form, encoding] of formsOf(secret)) {
          const start = form.slice(0, START_LENGTH);
          byStart.set(start, [...(byStart.get(start) ?? []), { form, what: `${kind} as ${encoding}` }]);
        }
      }
      const found = new Set<string>();
      for (const [text, where] of texts) {
        for (let at = 0; at <= text.length - START_LENGTH; at += 1) {
          for (const { form, what } of byStart.get(text.slice(at, at + START_LENGTH)) ?? []) {
            if (text.startsWith(form, at)) found.add(`${what} in ${where}`);
          }
        }
      }
      return [...found].sort();
    },
  };
}

/** Files of a store come and go while it is looked at. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return '';
    throw thrown;
  }
}

/** The whole secret needs no form of its own: where it stands, its pieces stand. */
function formsOf(secret: string): ReadonlyMap<string, string> {
  const forms = new Map<string, string>();
  const add = (encoding: string, form: string): void => {
    if (!forms.has(form)) forms.set(form, encoding);
  };
  for (const piece of [secret.slice(0, PIECE_LENGTH), secret.slice(-PIECE_LENGTH)]) {
    const escaped = JSON.stringify(piece).slice(1, -1);
    add('text', piece);
    add('URL-encoded text', encodeURIComponent(piece));
    add('URL-encoded text', new URLSearchParams({ '': piece }).toString().slice(1));
    add('URL-encoded text', new URL(`http://host/${piece}`).pathname.slice(1));
    add('JSON', escaped);
    add('JSON within JSON', JSON.stringify(escaped).slice(1, -1));
    add('HTML', html`${piece}`.toString());
    add('hex', Buffer.from(piece).toString('hex'));
    for (const encoding of ['base64', 'base64url'] as const) {
      for (const form of base64Forms(piece, encoding)) add(encoding, form);
    }
  }
  return forms;
}

/** Within a longer text base64 has three shapes, and its ends depend on the neighbours. */
function base64Forms(piece: string, encoding: 'base64' | 'base64url'): string[] {
  return [0, 1, 2].map((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(piece)]);
    const text = bytes.toString(encoding).replace(/=+$/, '');
    const isEven = (bytes.length * 8) % 6 === 0;
    return text.slice(Math.ceil((before * 8) / 6), isEven ? undefined : -1);
  });
}
