// Which URLs a secret may be sent to: https, or plain http on this machine, elsewhere only where it is allowed by name.
import { SidebearerError } from '../errors/sidebearer-error.ts';

/** @returns undefined where the text is no URL that may be used */
export function acceptedUrl(text: unknown, allowHttp: boolean): URL | undefined {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.username !== '' || url.password !== '' || url.hash !== '') return undefined;
  if (url.protocol === 'https:') return url;
  return url.protocol === 'http:' && (allowHttp || isLoopback(url.hostname)) ? url : undefined;
}

/** @throws config_value_missing, config_value_invalid, naming the setting */
export function configuredUrl(setting: string, text: string | undefined, allowHttp: boolean): string {
  if (text === undefined || text === '') throw new SidebearerError('config_value_missing', { setting });
  if (acceptedUrl(text, allowHttp) === undefined) {
    const reason = 'it must be an https URL; plain http is for loopback, elsewhere it needs allowHttp';
    throw new SidebearerError('config_value_invalid', { setting, reason });
  }
  return text;
}

/** Origin and path: what names an endpoint in metrics and breakers. */
export function endpointName(text: string): string {
  const url = new URL(text);
  return `${url.origin}${url.pathname}`;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d+){3}$/.test(hostname);
}
