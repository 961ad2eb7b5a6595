// How connections leave, of each route and each credential: through which egress proxy, with which certificates. What
// goes the same way shares one Way, so that routes may share connections. TLS files are read and tried here.
import type { Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import type { EgressProxy } from '../egress/egress-proxy.ts';
import { createExemptions } from '../egress/exemptions.ts';
import { openTlsFiles, type TlsFiles } from '../egress/tls-files.ts';
import { createWay, type Way } from '../egress/way.ts';

/** By credential: each member of a pool has its own egress. */
export type MemberWays = ReadonlyMap<string, Way | undefined>;

/** How connections go; undefined: straight out, trusting what Node trusts. */
export interface Ways {
  readonly ofRoutes: readonly MemberWays[];
  /** To the provider. */
  readonly ofCredentials: ReadonlyMap<string, Way | undefined>;
}

/** @throws tls_file_unusable */
export async function openWays({ egress, routes, credentials }: Config, clock: Clock): Promise<Ways> {
  const isExempt = createExemptions(egress.noProxy);
  // One for all that go alike, so that routes may share connections.
  const withoutTls = new Map<EgressProxy | undefined, Way | undefined>();
  const open = async (names: readonly string[], files: TlsFiles, setting: string): Promise<MemberWays> => {
    const tls = await openTlsFiles(files, setting);
    const known = tls === undefined ? withoutTls : new Map<EgressProxy | undefined, Way | undefined>();
    const ways = new Map<string, Way | undefined>();
    for (const name of names) {
      const proxy = credentials[name]?.egress.proxy ?? egress.proxy;
      const way = known.get(proxy) ?? createWay({ proxy, isExempt, tls, clock });
      known.set(proxy, way);
      ways.set(name, way);
    }
    return ways;
  };
  const ofCredentials = new Map<string, Way | undefined>();
  for (const [name, settings] of Object.entries(credentials)) {
    if (settings.provider !== 'file') {
      const ways = await open([name], settings.tls, `credentials.${name}.tls`);
      ofCredentials.set(name, ways.get(name));
    }
  }
  const ofRoutes = await Promise.all(
    routes.map(({ credential, tls }, index) => open(credential, tls, `routes[${index}].tls`)),
  );
  return { ofRoutes, ofCredentials };
}
