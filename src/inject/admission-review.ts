// An AdmissionReview of the API server → the answer to it (admission.k8s.io/v1). Whatever is asked, the answer lets the
// object in: it adds a patch, or it does not. Pure; a request without side effects is a dry run by nature.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { toJsonPatch } from './edit.ts';
import { fieldOf, isFields, shown } from './pod-data.ts';
import type { Injection } from './pod-injection.ts';

export interface Review {
  readonly outcome: Injection['outcome'] | 'ignored' | 'failed';
  /** The whole answer. */
  readonly answer: object;
  readonly warnings: readonly string[];
  /** As a log line may show them. */
  readonly namespace: string;
  readonly pod: string;
  readonly isDryRun: boolean;
  /** What was thrown, where the injection failed. */
  readonly fault?: unknown;
}

const API_VERSION = 'admission.k8s.io/v1';
/** Above them the API server cuts: characters of one warning, and of all. */
const MAX_WARNING = 256;
const MAX_WARNINGS = 4_096;

/** @throws admission_request_invalid */
export function review(text: string, inject: (pod: unknown) => Injection): Review {
  const request = readRequest(text);
  const object = fieldOf(request, 'object');
  const about = {
    namespace: shown(textOf(fieldOf(request, 'namespace'))),
    pod: shown(nameOfPod(object) || textOf(fieldOf(request, 'name'))),
    isDryRun: fieldOf(request, 'dryRun') === true,
  };
  const uid = fieldOf(request, 'uid');
  const what = describeOther(request);
  if (what !== undefined) {
    const warnings = format([
      `only the creation of pods is injected into, and this is ${what}: correct the webhook's rules`,
    ]);
    return { outcome: 'ignored', answer: answerOf(uid, warnings), warnings, ...about };
  }
  try {
    const { outcome, edits, warnings: told } = inject(object);
    const warnings = format(told);
    const patch = edits.length === 0 ? undefined : toJsonPatch(edits);
    return { outcome, answer: answerOf(uid, warnings, patch), warnings, ...about };
  } catch (fault) {
    const warnings = format(['not injected: the injector failed (internal_error), see its log']);
    return { outcome: 'failed', answer: answerOf(uid, warnings), warnings, ...about, fault };
  }
}

function readRequest(text: string): unknown {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw invalid('its body is not JSON');
  }
  const [apiVersion, kind] = [fieldOf(body, 'apiVersion'), fieldOf(body, 'kind')];
  if (kind !== 'AdmissionReview') throw invalid('its body is no AdmissionReview');
  if (apiVersion !== API_VERSION) throw invalid(`its version is not ${API_VERSION}`);
  const request = fieldOf(body, 'request');
  if (!isFields(request)) throw invalid('it has no request');
  const uid = fieldOf(request, 'uid');
  if (typeof uid !== 'string' || uid === '') throw invalid('its request has no uid');
  return request;
}

/** What it is where it is no creation of a pod. */
function describeOther(request: unknown): string | undefined {
  const kind = fieldOf(request, 'kind');
  const [group, version, name] = ['group', 'version', 'kind'].map((part) => textOf(fieldOf(kind, part)));
  const operation = textOf(fieldOf(request, 'operation'));
  const subResource = textOf(fieldOf(request, 'subResource'));
  const isPod = group === '' && version === 'v1' && name === 'Pod' && subResource === '';
  if (isPod && operation === 'CREATE') return undefined;
  const what = [operation, name === '' ? 'no kind' : name, subResource].filter((part) => part !== '');
  return shown(what.join('-'));
}

function answerOf(uid: unknown, warnings: readonly string[], patch?: readonly object[]): object {
  return {
    apiVersion: API_VERSION,
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed: true,
      ...(warnings.length > 0 && { warnings }),
      ...(patch !== undefined && {
        patchType: 'JSONPatch',
        patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
      }),
    },
  };
}

function format(warnings: readonly string[]): string[] {
  const told: string[] = [];
  let length = 0;
  for (const warning of warnings) {
    const text = `sidebearer: ${warning}`;
    const short = text.length > MAX_WARNING ? `${text.slice(0, MAX_WARNING - 3)}...` : text;
    length += short.length;
    if (length > MAX_WARNINGS) break;
    told.push(short);
  }
  return told;
}

/** A controller's pods have no name yet. */
function nameOfPod(pod: unknown): string {
  const metadata = fieldOf(pod, 'metadata');
  const generated = textOf(fieldOf(metadata, 'generateName'));
  return textOf(fieldOf(metadata, 'name')) || (generated === '' ? '' : `${generated}*`);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function invalid(reason: string): SidebearerError {
  return new SidebearerError('admission_request_invalid', { reason });
}
