// Peers written in Go, built once into a cache outside the repository. Without Go, or without a module proxy, they are
// left out and that is told.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sidebearer-bench');
/** Caddy is large: where nothing of it is cached it may take longer, and the next run goes on from what is built. */
const BUILD_LIMIT_MS = 120_000;

/** The path of the program, or why there is none. */
export type Built = { readonly path: string } | { readonly missing: string };

/** Go's own ReverseProxy with a `main` around it: standard library only, no network. */
export function buildReverseProxy(): Promise<Built> {
  const source = join(import.meta.dirname, 'peers', 'reverse-proxy', 'main.go');
  const path = join(cache, 'reverse-proxy');
  return build(path, ['build', '-o', path, source], {});
}

/** Caddy by the module proxy; one that is there already is not built again. */
export function buildCaddy(): Promise<Built> {
  const path = join(cache, 'caddy');
  if (existsSync(path)) return Promise.resolve({ path });
  return build(path, ['install', 'github.com/caddyserver/caddy/v2/cmd/caddy@latest'], { GOBIN: cache });
}

async function build(path: string, arguments_: readonly string[], env: Record<string, string>): Promise<Built> {
  mkdirSync(cache, { recursive: true });
  try {
    // Outside the repository: `go install` must not find a module of ours.
    await run('go', arguments_, { cwd: cache, env: { ...process.env, ...env }, timeout: BUILD_LIMIT_MS });
    return { path };
  } catch (thrown) {
    const isAbsent = (thrown as { code?: unknown }).code === 'ENOENT';
    return { missing: isAbsent ? 'Go is not installed' : 'it could not be built' };
  }
}
