// How connections leave, of each route and each credential: through which egress proxy, with which certificates. What
// goes the same way shares one Way, so that routes may share connections. TLS files are read and tried here.
import type { Clock } from '../clock.ts';
import { ConfigRefusal } from '../config/refusal.ts';
import type { Config } from '../config/schema.ts';
import { createExemptions } from '../egress/exemptions.ts';
import { openTlsFiles, type TlsFiles, type TlsSettings } from '../egress/tls-files.ts';
import { createWay, type Way } from '../egress/way.ts';
import { toSidebearerError } from '../errors/sidebearer-error.ts';

/** By credential: each member of a pool has its own egress. */
export type MemberWays = ReadonlyMap<string, Way | undefined>;

/** How connections go; undefined: straight out, trusting what Node trusts. */
export interface Ways {
  readonly ofRoutes: readonly MemberWays[];
  /** To the provider. */
  readonly ofCredentials: ReadonlyMap<string, Way | undefined>;
  /** By what they are made of. */
  readonly known: ReadonlyMap<string, Way | undefined>;
}

/**
 * @param before those in force: a way that nothing has changed about stays the same object, so that what goes by it
 *   keeps its connections
 * @throws ConfigRefusal with a tls_file_unusable for each file that cannot be used
 */
export async function openWays({ egress, routes, credentials }: Config, clock: Clock, before?: Ways): Promise<Ways> {
  const isExempt = createExemptions(egress.noProxy);
  const known = new Map<string, Way | undefined>();
  const failures: unknown[] = [];
  const open = async (names: readonly string[], files: TlsFiles, setting: string): Promise<MemberWays> => {
    const ways = new Map<string, Way | undefined>();
    let tls: TlsSettings | undefined;
    try {
      tls = await openTlsFiles(files, setting);
    } catch (thrown) {
      failures.push(thrown);
      return ways;
    }
    for (const name of names) {
      const proxy = credentials[name]?.egress.proxy ?? egress.proxy;
      const key = JSON.stringify([proxy, egress.noProxy, tls?.digest]);
      const way = known.get(key) ?? before?.known.get(key) ?? createWay({ proxy, isExempt, tls, clock });
      known.set(key, way);
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
  if (failures.length > 0) throw new ConfigRefusal(failures.map(toSidebearerError));
  return { ofRoutes, ofCredentials, known };
}

/** At a start, where the first mistake is the last. @throws tls_file_unusable */
export async function openFirstWays(config: Config, clock: Clock): Promise<Ways> {
  try {
    return await openWays(config, clock);
  } catch (thrown) {
    throw thrown instanceof ConfigRefusal ? (thrown.errors[0] ?? thrown) : thrown;
  }
}
