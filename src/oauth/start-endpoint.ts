// `/oauth/start`: GET shows what a login will do and what would make it fail; POST starts it. A GET changes nothing,
// so that no page elsewhere can fill the store with logins.
import type { ManagedCredential } from '../credentials/bearer.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { type Answer, pageAnswer, redirectAnswer, withHeaders } from './answer.ts';
import { readFields } from './body.ts';
import type { Failures } from './failures.ts';
import type { Logins } from './logins.ts';
import type { LoginObserver } from './observer.ts';
import { asksToReplace } from './pages/login-form.ts';
import { choicePage, type StartView, startPage } from './pages/start-page.ts';
import { comparePlace } from './place.ts';
import type { Endpoint, Visit } from './visit.ts';

export interface StartOptions {
  readonly version: string;
  readonly credentials: ReadonlyMap<string, ManagedCredential>;
  readonly logins: Logins;
  readonly failures: Failures;
  readonly observer: LoginObserver;
  /** The pod's name for the commands that are shown. */
  readonly podName: string;
  /** The port that is really bound; undefined on a Unix socket. */
  readonly boundPort: () => number | undefined;
}

export function createStartEndpoints(options: StartOptions): { readonly show: Endpoint; readonly begin: Endpoint } {
  const { version, credentials, logins, failures, observer } = options;

  /** A login that could not begin is one that failed, not a request that was refused. */
  const attempt = async (visit: Visit, name: string, action: () => Promise<Answer>): Promise<Answer> => {
    try {
      return await action();
    } catch (thrown) {
      const error = toSidebearerError(thrown);
      observer.loginFailed(error, visit.visitor, name);
      return failures(error, { texts: visit.texts, wantsJson: visit.wantsJson, credential: name });
    }
  };

  const show: Endpoint = (visit) => {
    const { host, query, texts } = visit;
    const name = query.get('credential') ?? onlyLogin(credentials);
    if (name === undefined) return pageAnswer(200, choicePage(texts, version, withLogin(credentials)));
    const known = credentials.get(name);
    // Where another device is the only way, that way is taken.
    if (known?.login === undefined && known?.device !== undefined) return redirectAnswer(302, devicePath(name));
    const { credential, login } = logins.find(name);
    const { redirectUri } = login;
    const place = comparePlace(host, redirectUri);
    const isMoved = query.get('moved') === 'yes';
    const watcher = watcherOf(query);
    if (place.moveTo !== undefined && !isMoved) {
      return redirectAnswer(302, place.moveTo + startPath(name, true, watcher));
    }

    return attempt(visit, name, async () => {
      const target = await logins.preview(name);
      await logins.rehearse(name);
      const { registeredName, registeredPort } = place;
      const status = credential.status();
      const view: StartView = {
        texts,
        version,
        credential: name,
        asksToReplace: asksToReplace(status),
        account: status.account,
        authorizeHost: target.host,
        redirectUri,
        isMoved,
        watcher,
        ...(registeredName === undefined ? {} : { name: { used: host.name, registered: registeredName } }),
        ...(registeredPort === undefined
          ? {}
          : { port: portMismatch(host.port, registeredPort, redirectUri, startPath(name, false, watcher)) }),
      };
      // The provider may send the browser straight back: that redirect, too, belongs to the form.
      return pageAnswer(200, startPage(view), { formTargets: [target.origin, new URL(redirectUri).origin] });
    });
  };

  const portMismatch = (
    used: number,
    registered: number,
    redirectUri: string,
    path: string,
  ): NonNullable<StartView['port']> => ({
    used,
    registered,
    command: `kubectl port-forward ${options.podName} ${registered}:${options.boundPort() ?? registered}`,
    link: new URL(redirectUri).origin + path,
  });

  const begin: Endpoint = async (visit) => {
    const fields = await readFields(visit.request);
    const name = fields.get('credential');
    if (name === null) throw new SidebearerError('admin_request_malformed', { reason: 'it names no credential' });
    const { login } = logins.find(name);
    const { moveTo } = comparePlace(visit.host, login.redirectUri);
    // A cookie set here would not come back there.
    const watcher = watcherOf(fields);
    if (moveTo !== undefined && fields.get('moved') !== 'yes')
      return redirectAnswer(303, moveTo + startPath(name, true, watcher));
    return attempt(visit, name, async () => {
      const replaceAccount = fields.get('replace') === 'yes';
      const { location, setCookie } = await logins.start(name, visit.visitor, { replaceAccount, watcher });
      return withHeaders(redirectAnswer(303, location.href), { 'set-cookie': setCookie });
    });
  };

  return { show, begin };
}

function startPath(credential: string, isMoved: boolean, watcher: string | undefined): string {
  const login = watcher === undefined ? '' : `&login=${watcher}`;
  return `/oauth/start?credential=${encodeURIComponent(credential)}${isMoved ? '&moved=yes' : ''}${login}`;
}

/** The id of the login that a command started before it sent the browser here. */
function watcherOf(fields: URLSearchParams): string | undefined {
  const id = fields.get('login');
  return id !== null && /^[0-9a-f]{64}$/.test(id) ? id : undefined;
}

function devicePath(credential: string): string {
  return `/oauth/device?credential=${encodeURIComponent(credential)}`;
}

function hasLogin({ login, device }: ManagedCredential): boolean {
  return login !== undefined || device !== undefined;
}

function withLogin(credentials: ReadonlyMap<string, ManagedCredential>) {
  return [...credentials.values()].filter(hasLogin).map((credential) => credential.status());
}

/** The name of the one credential with a login, where there is exactly one. */
function onlyLogin(credentials: ReadonlyMap<string, ManagedCredential>): string | undefined {
  const names = [...credentials.values()].filter(hasLogin).map(({ name }) => name);
  return names.length === 1 ? names[0] : undefined;
}
