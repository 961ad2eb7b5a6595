// Every sentence of the pages, in English. Another language is another file of this shape. The failures' own
// sentences stand in the error catalogue.
import type { PublishedState } from '../../credentials/bearer.ts';
import { catalogue, type ErrorCode } from '../../errors/catalogue.ts';

/** What a page says, in one language. */
export type Texts = typeof english;

export const english = {
  language: 'en',
  product: 'Sidebearer',
  home: 'Status',
  version: (version: string) => `Sidebearer ${version}`,
  skip: 'Skip to the content',
  unknown: 'unknown',

  status: {
    title: 'Credentials',
    summary: (usable: number, all: number) =>
      usable === all
        ? all === 1
          ? 'The credential has a usable token.'
          : `All ${all} credentials have a usable token.`
        : `${usable} of ${all} credentials ${usable === 1 ? 'has' : 'have'} a usable token.`,
    none: 'No credential is configured.',
    refreshes: 'This page updates itself every 5 seconds.',
    stopRefreshing: 'Stop updating',
    live: 'This page is live.',
    lost: 'The connection to Sidebearer is lost. This page goes on by itself as soon as it is back.',
    stands: 'This page does not update itself.',
    goOnRefreshing: 'Update every 5 seconds',
    notices: 'Notices',
    provider: { codex: 'Codex', oidc: 'OpenID Connect', oauth2: 'OAuth 2.0', file: 'Token file' },
    grant: {
      authorization_code: 'login',
      refresh_token: 'refresh token',
      client_credentials: 'client credentials',
      device_code: 'login on another device',
      token_exchange: 'token exchange',
      jwt_bearer: 'signed assertion',
      file: 'written by something else',
    },
    state: {
      absent: 'No token yet',
      dead: 'Needs a login',
      cooling: 'Waiting after a failure',
      refreshing: 'Refreshing',
      refused: 'Refused by the upstream',
      due: 'Refresh due',
      fresh: 'Ready',
    } satisfies Record<PublishedState, string>,
    deadWithoutLogin: 'Needs a new refresh token',
    account: 'Account',
    plan: 'Plan',
    accountId: 'Account id',
    token: 'Token',
    noToken: 'none',
    tokenUntil: 'expires',
    tokenSince: 'expired',
    tokenUnknown: 'valid, its expiry is not told',
    nextRefresh: 'Next refresh',
    lastRefresh: 'Last refresh',
    cooling: 'Tried again',
    resting: 'Rests after a limit until',
    quota: 'Quota used',
    grantEnds: 'Login ends',
    waiting: 'Requests waiting',
    breaker: 'Token endpoint',
    breakerState: {
      open: 'left alone for a while, after too many failures',
      half_open: 'being tried again after too many failures',
    },
    dirtyTitle: 'The newest token is not stored yet',
    dirty: 'It is in use, and its storing is tried again every second. A restart before it succeeds may need a login.',
    lastError: 'Last failure',
    failedAt: 'Failed',
    blocked: 'Requests that use this credential fail until somebody logs in.',
    blockedSoon: 'Its token still works. Once that expires, requests fail until somebody logs in.',
    configuration: 'Configuration',
    configurationRead: 'read',
    refusedTitle: 'The changed configuration was refused',
    refusedLead: 'Its files hold mistakes, so that nothing of it is in force; the one before it goes on.',
    refusedAt: 'Refused',
    moreMistakes: (count: number) => `And ${count} more; the log has them all.`,
    place: (line: number, column: number | undefined) =>
      column === undefined ? `line ${line}` : `line ${line}, column ${column}`,
    logIn: (name: string) => `Log in for ${name}`,
    logInAgain: (name: string) => `Log in again for ${name}`,
  },

  actions: {
    device: 'Log in on another device',
    refresh: 'Refresh now',
    resume: 'Resume',
    logout: (name: string) => `Log out of ${name}…`,
    logoutQuestion:
      'The tokens are revoked at the provider and deleted here and in every replica. Requests then fail until somebody logs in again.',
    logoutNow: 'Log out now',
  },

  result: {
    refreshed: 'The token was refreshed.',
    adopted: 'Another replica had refreshed the token; it is in use here.',
    superseded: 'A login came in between; its token is in use.',
    refreshing: 'The refresh takes longer than usual and goes on.',
    resumed: 'The pause is over, and what is due is tried now.',
    not_paused: 'Nothing was paused.',
    logged_out: 'Logged out: the tokens were revoked at the provider and deleted here.',
    logged_out_here: 'Logged out here. The provider has no way to revoke the tokens: they may live on there.',
    nothing_to_log_out: 'There was nothing to log out of.',
  },

  paste: {
    title: 'The browser ended at a page that cannot be reached?',
    hint: 'That is the last step of the login, at an address that leads nowhere from here. Copy it from the address bar and paste it, in the browser that began the login.',
    label: 'The address',
    go: 'Finish the login',
  },

  device: {
    startTitle: (name: string) => `Log in for ${name} on another device`,
    lead: 'Nothing needs to be forwarded for it: best in a cluster.',
    step1: 'Sidebearer asks the provider for a short code and shows it here.',
    step2: 'You open the provider’s page on any device, type the code, and log in there.',
    step3: 'This page notices, and shows you the result.',
    begin: 'Get a code',
    title: (name: string) => `Log in for ${name}`,
    type: 'Type this code at',
    copy: 'Copy the code',
    copied: 'Copied',
    qr: 'QR code of the address to open on the other device',
    warning:
      'Go on only if you started this login yourself. Whoever sends you a code to type wants your account for a sidecar of theirs.',
    expires: 'The code expires',
    waiting: 'Waiting for you to confirm.',
    cancel: 'Cancel',
  },

  start: {
    title: (name: string) => `Log in for ${name}`,
    lead: 'A login is three steps, and takes less than a minute.',
    step1: (where: string) => `You go to ${where} and log in there. Your password stays there.`,
    step2: 'It sends this browser back to',
    step3: 'Sidebearer fetches the token, stores it, and shows you the result. No token passes through this browser.',
    go: (where: string) => `Continue to ${where}`,
    time: 'You have 30 minutes to finish.',
    stored: 'Stored now',
    unknownAccount: 'an account that is not known',
    replace: 'Replace the account',
    replaceHint: 'Without this, only a login of the account that is stored now is accepted.',
    portTitle: 'This browser would come back to another port',
    port: (used: number, registered: number) =>
      `You opened this page on port ${used}, but the provider will send the browser to port ${registered}. ` +
      'Forward that port first, then open this page there:',
    portLink: 'Open this page on the right port',
    nameTitle: 'This browser would come back to another name',
    name: (used: string, registered: string) =>
      `You opened this page as ${used}, but the provider will send the browser to ${registered}, ` +
      'and the cookie of this login is not shared between the two. Open this page there.',
    choose: 'Which credential?',
    chooseLead: 'Choose the one to log in.',
    nothingTitle: 'Nothing to log in',
    nothing: 'No configured credential is obtained by a login.',
  },

  success: {
    title: 'You are logged in',
    lead: (name: string) => `${name} has a new token. You may close this page.`,
    storedIn: 'Stored in',
    warning: 'One thing to know',
    toStatus: 'See all credentials',
    countdown: 'The status page opens in',
    stay: 'Stay here',
  },

  failure: {
    next: 'What to do',
    details: 'Details',
    code: 'Code',
    status: 'HTTP status',
    credential: 'Credential',
    providerCode: "Provider's code",
    providerStatus: "Provider's HTTP status",
    description: 'The provider says',
    systemCode: "System's code",
    again: 'Try again',
    toStatus: 'Go to the status page',
  },

  cancel:
    'This port is held by Sidebearer. It keeps the port and its pending logins; nothing was cancelled.\n' +
    'To free the port, move the listener with the setting listen.oauth, or stop Sidebearer.\n',

  error: {
    message: (code: ErrorCode): string => catalogue[code].message,
    /** @param next the step as the error itself gives it, in English: where it is not the catalogue's it knows more */
    next: (_code: ErrorCode, next: string): string => next,
  },

  time: {
    now: 'now',
    in: (span: string) => `in ${span}`,
    ago: (span: string) => `${span} ago`,
    units: { day: 'd', hour: 'h', minute: 'min', second: 's' },
  },
};
