// AdmissionReviews as the API server sends them.

/** @param more over the fields of the request */
export function reviewOf(pod: unknown, more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'review-1',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      operation: 'CREATE',
      namespace: 'team-a',
      object: pod,
      ...more,
    },
  });
}

export interface AdmissionAnswer {
  readonly apiVersion: string;
  readonly kind: string;
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly warnings?: readonly string[];
    readonly patchType?: string;
    readonly patch?: string;
  };
}
