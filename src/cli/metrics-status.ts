// What /metrics tells of the credentials, for `status` where the OAuth listener is off: their states and times.
// Foreign text like any answer: what is not understood is passed over.

/** A credential as far as it is told: fields of `/status.json`. */
interface ToldCredential {
  readonly name: string;
  state?: string;
  expiresAtMs?: number;
  refreshDueAtMs?: number;
  coolingUntilMs?: number;
}

const series = /^sidebearer_([a-z_]+)\{credential="([^"\\]*)"(?:,state="([a-z]+)")?\} ([0-9.e+]+)$/;

/** @param nowMs wall time */
export function readMetrics(text: string, nowMs: number): (ToldCredential & { readonly usable: boolean })[] {
  const credentials = new Map<string, ToldCredential>();
  for (const line of text.split('\n')) {
    const [, metric = '', name = '', state, value = ''] = series.exec(line) ?? [];
    const credential = credentials.get(name) ?? { name };
    const atMs = Number(value) * 1_000;
    switch (metric) {
      case 'credential_state':
        if (state !== undefined && value === '1') credential.state = state;
        break;
      case 'token_expiry_timestamp_seconds':
        credential.expiresAtMs = atMs;
        break;
      case 'refresh_due_timestamp_seconds':
        credential.refreshDueAtMs = atMs;
        break;
      case 'cooldown_end_timestamp_seconds':
        credential.coolingUntilMs = atMs;
        break;
      default:
        continue;
    }
    credentials.set(name, credential);
  }
  return [...credentials.values()].map((credential) => {
    const { state, expiresAtMs } = credential;
    // A token that tells no expiry has no series for it; it is fresh as long as there is one.
    return { ...credential, usable: expiresAtMs === undefined ? state === 'fresh' : expiresAtMs > nowMs };
  });
}
