// OpenID discovery: read when first needed, kept once it was good, read again at the next use where it was not.
// A provider that is down at start must not keep the sidecar from starting.
import * as oauth from 'oauth4webapi';
import { type ErrorDetails, SidebearerError } from '../errors/sidebearer-error.ts';
import type { TokenCall } from './provider.ts';
import { acceptedUrl } from './server-url.ts';
import type { CallEndpoint } from './token-endpoint.ts';

const DOCUMENT_TIMEOUT_MS = 10_000;

export interface DiscoveryOptions {
  /** Exactly as configured; the document must name the same. */
  readonly issuer: string;
  readonly allowHttp: boolean;
  readonly call: CallEndpoint;
  /** Endpoints that the configuration sets over the document's. */
  readonly overrides: Partial<oauth.AuthorizationServer>;
  /** The client shows a certificate: where the document names endpoints for that, they are used. */
  readonly usesMtlsAliases: boolean;
  /** Endpoints without which the provider is of no use here. */
  readonly required: readonly Endpoint[];
}

const endpoints = [
  'authorization_endpoint',
  'token_endpoint',
  'jwks_uri',
  'revocation_endpoint',
  'device_authorization_endpoint',
] as const;
type Endpoint = (typeof endpoints)[number];

/** Those that a client authenticates at, and that may have an alias (RFC 8705, section 5). */
const aliasedEndpoints = ['token_endpoint', 'revocation_endpoint', 'device_authorization_endpoint'] as const;

/** @returns the metadata. @throws provider_unreachable, provider_metadata_invalid */
export function createDiscovery(options: DiscoveryOptions): (timeoutMs: number) => Promise<oauth.AuthorizationServer> {
  let known: oauth.AuthorizationServer | undefined;
  let reading: Promise<oauth.AuthorizationServer> | undefined;
  return async (timeoutMs) => {
    if (known !== undefined) return known;
    reading ??= discover(options, timeoutMs).finally(() => {
      reading = undefined;
    });
    known = await reading;
    return known;
  };
}

async function discover(options: DiscoveryOptions, timeoutMs: number): Promise<oauth.AuthorizationServer> {
  const issuer = new URL(options.issuer);
  let found: oauth.AuthorizationServer;
  try {
    const response = await oauth.discoveryRequest(issuer, {
      [oauth.customFetch]: documentFetch(options.call, timeoutMs),
      [oauth.allowInsecureRequests]: true,
    });
    found = await oauth.processDiscoveryResponse(issuer, response);
  } catch (thrown) {
    if (thrown instanceof SidebearerError) throw thrown;
    const isOther = thrown instanceof oauth.OperationProcessingError && thrown.code === oauth.JSON_ATTRIBUTE_COMPARISON;
    throw invalid({ reason: isOther ? 'it names another issuer' : 'it is not a JSON object with an issuer' });
  }
  const { mtls_endpoint_aliases: aliases, ...others } = { ...found, ...options.overrides };
  const server = options.usesMtlsAliases ? { ...others, mtls_endpoint_aliases: usedAliases(aliases, options) } : others;
  for (const endpoint of endpoints) {
    const isAbsent = server[endpoint] === undefined;
    if (isAbsent && !options.required.includes(endpoint)) continue;
    if (isAbsent) throw invalid({ reason: `it names no ${endpoint}` });
    if (acceptedUrl(server[endpoint], options.allowHttp) === undefined) {
      throw invalid({ reason: `its ${endpoint} is not an https URL` });
    }
  }
  return server;
}

/** An endpoint that the configuration sets is used as it is set. */
function usedAliases(aliases: unknown, { overrides, allowHttp }: DiscoveryOptions): Record<string, string> {
  const used: Record<string, string> = {};
  for (const endpoint of aliasedEndpoints) {
    const alias = isMapping(aliases) ? aliases[endpoint] : undefined;
    if (alias === undefined || overrides[endpoint] !== undefined) continue;
    const url = acceptedUrl(alias, allowHttp);
    if (url === undefined) throw invalid({ reason: `its alias of ${endpoint} is not an https URL` });
    used[endpoint] = url.href;
  }
  return used;
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** A fetch for documents of the provider (metadata, keys): 200 or an error with its code. */
export function documentFetch(
  call: CallEndpoint,
  timeoutMs: number,
): (url: string, init: { headers: Record<string, string> }) => Promise<Response> {
  const guard: TokenCall = { timeoutMs: Math.min(timeoutMs, DOCUMENT_TIMEOUT_MS), mayBegin: () => true };
  return async (url, { headers }) => {
    const answer = await call(url, { method: 'GET', headers }, guard).catch((thrown: unknown) => {
      if (!(thrown instanceof SidebearerError)) throw thrown;
      // Not the provider, but the way to it.
      if (thrown.code === 'egress_unreachable' || thrown.code === 'egress_refused') throw thrown;
      throw new SidebearerError('provider_unreachable', thrown.details, thrown.cause);
    });
    const { status } = answer;
    if (status === 408 || status === 429 || status >= 500)
      throw new SidebearerError('provider_unreachable', { status });
    if (status !== 200) throw invalid({ status, reason: 'a document of the provider is not found where it should be' });
    return new Response(answer.body, { headers: { 'content-type': 'application/json' } });
  };
}

function invalid(details: ErrorDetails): SidebearerError {
  return new SidebearerError('provider_metadata_invalid', details);
}
