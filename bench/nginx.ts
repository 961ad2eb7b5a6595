// nginx with one worker and a configuration of its own, as upstream and as contestant; it touches no file of the
// system's nginx.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Keep-alive without end on a `server`: what is measured is requests, not connections. */
export const listenOn = (port: number, parameters = ''): string =>
  `listen 127.0.0.1:${port} ${parameters} backlog=4096; keepalive_requests 1000000000; keepalive_timeout 600s;`;

/** @param http what stands in the http block; @returns the command */
export function nginxCommand(folder: string, name: string, http: string): string[] {
  const path = join(folder, `${name}.conf`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(folder, `${name}-${kind}`)};`)
    .join(' ');
  writeFileSync(
    path,
    `worker_processes 1; pid ${join(folder, `${name}.pid`)}; error_log stderr crit;
events { worker_connections 8192; }
http { access_log off; client_body_buffer_size 64k; ${temporary} ${http} }
`,
  );
  return ['nginx', '-e', 'stderr', '-c', path, '-g', 'daemon off;'];
}
