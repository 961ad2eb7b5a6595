// How a strict endpoint reads what it is sent: exactly the fields that it expects, each once, in the form that it expects.
import type { IncomingMessage } from 'node:http';

/** What is answered to a request that is not as it must be; the message holds no secret. */
export class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** @throws Refusal, naming each parameter that is missing, extra, doubled or another; its value only where it is no secret */
export function assertExactly(
  what: string,
  given: URLSearchParams,
  expected: Readonly<Record<string, string | ((value: string) => boolean)>>,
): void {
  const wrong = new Set([...given.keys()].filter((name) => !Object.hasOwn(expected, name)).map((name) => `+${name}`));
  for (const [name, rule] of Object.entries(expected)) {
    const [value, ...others] = given.getAll(name);
    const isRight = value !== undefined && (typeof rule === 'string' ? value === rule : rule(value));
    if (!isRight || others.length > 0) wrong.add(name);
  }
  if (wrong.size > 0) throw new Refusal(400, `${what}: ${[...wrong].join(' ')}`);
}

/** The fields of a body that came as the Codex CLI sends it. */
export async function readExactly(
  request: IncomingMessage,
  path: string,
  type: 'form' | 'json',
): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks).toString();
  const { headers } = request;
  const [mediaType] = (headers['content-type'] ?? '').split(';');
  const expected = type === 'form' ? 'application/x-www-form-urlencoded' : 'application/json';
  if (mediaType !== expected) throw new Refusal(400, `${path}: content-type ${mediaType}`);
  if (headers.accept !== 'application/json') throw new Refusal(400, `${path}: accept ${headers.accept}`);
  for (const name of ['authorization', 'cookie', 'referer'] as const) {
    if (headers[name] !== undefined) throw new Refusal(400, `${path}: ${name} is sent`);
  }
  return new URLSearchParams(type === 'form' ? body : (JSON.parse(body) as Record<string, string>));
}
