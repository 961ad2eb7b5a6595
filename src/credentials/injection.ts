// Turns a token and its account into the headers that are sent, once for each token.
// A value that could not stand in a header is never sent: claims come from outside.
import type { Account } from '../providers/provider.ts';

/** `inject` of a credential: names to formats; `{token}`, `{account.id}`, `{account.userId}` … stand for values. */
export interface InjectionOptions {
  readonly headers: Readonly<Record<string, string>>;
}

export interface Injection {
  /** Lower-cased names of all that may be injected. */
  readonly names: readonly string[];
  /** Name, value, name, value …; a header with a placeholder that has no value is left out. */
  render(accessToken: string, account: Account | undefined): readonly string[];
}

const VISIBLE = /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/;
const PLACEHOLDER = /\{([a-zA-Z.]+)\}/g;

export function createInjection({ headers }: InjectionOptions): Injection {
  const entries = Object.entries(headers);
  return {
    names: entries.map(([name]) => name.toLowerCase()),
    render(accessToken, account) {
      const raw: string[] = [];
      for (const [name, format] of entries) {
        let isWhole = true;
        const value = format.replace(PLACEHOLDER, (_, path: string) => {
          const found = path === 'token' ? accessToken : claim(account, path);
          if (found === undefined) isWhole = false;
          return found ?? '';
        });
        if (isWhole && VISIBLE.test(value)) raw.push(name, value);
      }
      return raw;
    },
  };
}

/** `account.fedramp` is a flag: it has a value only where it is true. */
function claim(account: Account | undefined, path: string): string | undefined {
  switch (path) {
    case 'account.id':
      return account?.id;
    case 'account.userId':
      return account?.userId;
    case 'account.email':
      return account?.email;
    case 'account.plan':
      return account?.plan;
    case 'account.fedramp':
      return account?.fedramp === true ? 'true' : undefined;
    default:
      return undefined;
  }
}
