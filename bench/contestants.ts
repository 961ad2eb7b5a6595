// Who is measured: each adds the same header to what it passes on. How each is started, and what it cannot do.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Built, buildCaddy, buildReverseProxy } from './go-build.ts';
import { listenOn, nginxCommand } from './nginx.ts';
import { freePort, type Launch } from './running-process.ts';
import { launchSidebearer, type SidebearerOptions } from './sidebearer.ts';
import { TLS_NAME, TOKEN, type Upstream } from './upstreams.ts';

export interface Contestant {
  /** As it is chosen and told. */
  readonly name: string;
  /** Upgrades are passed on. */
  readonly hasWebSocket: boolean;
  /** For what has to be built first: the program, or why there is none. */
  readonly build?: () => Promise<Built>;
  /** What tells its version. @param path of what was built */
  readonly version?: (path: string) => readonly string[];
  launch(setting: Setting): Promise<Launch & { readonly url: string }>;
}

export interface Setting {
  /** For configuration and scratch files. */
  readonly folder: string;
  readonly upstream: Upstream;
  /** Of what was built. */
  readonly path: string;
  readonly sidebearer: SidebearerOptions;
}

const authorization = `Bearer ${TOKEN}`;

async function onFreePort(
  command: (port: number) => readonly string[],
  env?: Readonly<Record<string, string>>,
): Promise<Launch & { readonly url: string }> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  return { command: command(port), ready: { url, status: 200 }, url, ...(env !== undefined && { env }) };
}

const nginx: Contestant = {
  name: 'nginx',
  hasWebSocket: true,
  version: () => ['nginx', '-v'],
  launch: ({ folder, upstream: { origin, kind, caFile } }) => {
    const { protocol, host } = new URL(origin);
    const tls = `proxy_ssl_verify on; proxy_ssl_trusted_certificate ${caFile}; proxy_ssl_name ${TLS_NAME};
      proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;`;
    return onFreePort((port) =>
      nginxCommand(
        folder,
        `proxy-${kind}`,
        // An upgrade needs its connection header; with a plain request it is empty and the connection is kept.
        `map $http_upgrade $connection_header { default upgrade; "" ""; }
        upstream api { server ${host}; keepalive 1024; keepalive_requests 1000000000; }
        server { ${listenOn(port)} location / {
          proxy_pass ${protocol}//api; proxy_http_version 1.1; proxy_set_header Authorization "${authorization}";
          proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_header;
          proxy_max_temp_file_size 0; ${caFile === undefined ? '' : tls} } }`,
      ),
    );
  },
};

const haproxy: Contestant = {
  name: 'haproxy',
  hasWebSocket: true,
  version: () => ['haproxy', '-v'],
  launch: ({ folder, upstream: { origin, kind, caFile } }) => {
    const tls = caFile === undefined ? '' : `ssl verify required ca-file ${caFile} verifyhost ${TLS_NAME}`;
    const path = join(folder, `haproxy-${kind}.cfg`);
    return onFreePort((port) => {
      writeFileSync(
        path,
        `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
  option http-no-delay
frontend front
  bind 127.0.0.1:${port}
  http-request set-header Authorization "${authorization}"
  default_backend back
backend back
  server api ${new URL(origin).host} pool-max-conn 1024 ${tls}
`,
      );
      return ['haproxy', '-db', '-q', '-f', path];
    });
  },
};

const goReverseProxy: Contestant = {
  name: 'go',
  hasWebSocket: true,
  build: buildReverseProxy,
  version: () => ['go', 'version'],
  launch: ({ path, upstream: { origin, caFile } }) =>
    onFreePort((port) => [path, `127.0.0.1:${port}`, origin, TOKEN, ...(caFile === undefined ? [] : [caFile])]),
};

const caddy: Contestant = {
  name: 'caddy',
  hasWebSocket: true,
  build: buildCaddy,
  version: (path) => [path, 'version'],
  launch: ({ folder, path, upstream: { origin, kind, caFile } }) => {
    const config = join(folder, `Caddyfile-${kind}`);
    const tls = caFile === undefined ? '' : `transport http {\n tls_trust_pool file ${caFile}\n }\n`;
    // Its state belongs into the scratch folder, not into a home.
    const env = { XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
    return onFreePort((port) => {
      writeFileSync(
        config,
        `{\n admin off\n log {\n output discard\n }\n}
http://127.0.0.1:${port} {
 reverse_proxy ${origin} {
 header_up Authorization "${authorization}"
 ${tls} }
}
`,
      );
      return [path, 'run', '--adapter', 'caddyfile', '--config', config];
    }, env);
  },
};

const script = (name: string, file: string, hasWebSocket: boolean): Contestant => ({
  name,
  hasWebSocket,
  launch: ({ upstream: { origin, caFile } }) =>
    onFreePort(
      (port) => [process.execPath, join(import.meta.dirname, 'peers', file), String(port), origin, TOKEN],
      caFile === undefined ? undefined : { NODE_EXTRA_CA_CERTS: caFile },
    ),
});

const sidebearer: Contestant = {
  name: 'sidebearer',
  hasWebSocket: true,
  launch: ({ folder, upstream, sidebearer: options }) => launchSidebearer(folder, upstream, options),
};

/** nginx first: the others are told as multiples of it. */
export const contestants: readonly Contestant[] = [
  nginx,
  haproxy,
  goReverseProxy,
  caddy,
  script('http-proxy-3', 'http-proxy-3.mjs', true),
  script('undici', 'undici.mjs', false),
  sidebearer,
];
