// Reads the small body of an administrative POST, a form or JSON, into fields. Bounded; what is too much is read on
// into nothing, so that the connection can end without a reset.
import type { IncomingMessage } from 'node:http';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { mediaType } from './host.ts';

/** More than any form of ours needs. */
export const MAX_BODY_BYTES = 16 * 1024;

/**
 * The fields of a form, or the strings and booleans (as `yes`) at the top of a JSON object.
 * @throws admin_request_malformed, admin_request_too_large
 */
export async function readFields(request: IncomingMessage): Promise<URLSearchParams> {
  const type = mediaType(request);
  const body = await readBody(request);
  switch (type) {
    case 'application/x-www-form-urlencoded':
      return new URLSearchParams(body);
    case 'application/json':
      return fieldsOf(parseJson(body));
    default:
      throw new SidebearerError('admin_request_malformed', { reason: 'neither a form nor JSON' });
  }
}

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) chunks.push(chunk);
      else reject(new SidebearerError('admin_request_too_large'));
    });
    request.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    request.on('error', () => reject(new SidebearerError('admin_request_malformed', { reason: 'it ended too early' })));
    request.on('close', () => reject(new SidebearerError('admin_request_malformed', { reason: 'it ended too early' })));
  });
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new SidebearerError('admin_request_malformed', { reason: 'this is not JSON' });
  }
}

function fieldsOf(value: unknown): URLSearchParams {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SidebearerError('admin_request_malformed', { reason: 'a JSON object is expected' });
  }
  const fields = new URLSearchParams();
  for (const [name, field] of Object.entries(value)) {
    if (typeof field === 'string') fields.set(name, field);
    else if (field === true) fields.set(name, 'yes');
  }
  return fields;
}
