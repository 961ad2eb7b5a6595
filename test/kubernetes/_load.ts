// Constant load on the pods of a Service, as kube-proxy would spread it: each request goes to an address that is a ready
// endpoint at that moment. This node routes no Services.
import { Agent, request } from 'undici';
import { eventually } from '../system/_process.ts';
import { admin } from './_cluster.ts';

export interface Load {
  /** How many requests were answered as they should be, so far. */
  readonly served: number;
  /** Each that was not: the address, and what came instead. */
  readonly failures: readonly string[];
  /** Resolves when so many more have been served. */
  more(count: number): Promise<void>;
  stop(): Promise<void>;
}

interface Slices {
  readonly items: readonly {
    readonly endpoints?: readonly {
      readonly addresses: readonly string[];
      readonly conditions: { readonly ready?: boolean };
    }[];
  }[];
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The ready endpoints' addresses. */
export async function endpointsOf(namespace: string, service: string): Promise<string[]> {
  const selector = `labelSelector=kubernetes.io/service-name=${service}`;
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?${selector}`;
  const { items } = (await admin('GET', path)) as Slices;
  const endpoints = items.flatMap((slice) => slice.endpoints ?? []);
  return endpoints.filter(({ conditions }) => conditions.ready === true).flatMap(({ addresses }) => addresses);
}

/** @param expected what every answer must hold */
export async function startLoad(
  namespace: string,
  service: string,
  port: number,
  expected: RegExp,
  clients = 6,
): Promise<Load> {
  const agent = new Agent({ pipelining: 1 });
  const failures: string[] = [];
  let served = 0;
  let isStopped = false;
  /** The slices follow the pods a moment later. */
  let addresses = await eventually('a ready endpoint', async () => {
    const ready = await endpointsOf(namespace, service);
    return ready.length > 0 ? ready : undefined;
  });

  async function follow(): Promise<void> {
    while (!isStopped) {
      await pause(100);
      addresses = await endpointsOf(namespace, service);
    }
  }

  async function send(): Promise<void> {
    for (let turn = 0; !isStopped; turn += 1) {
      const address = addresses[turn % addresses.length];
      const url = `http://${address}:${port}/`;
      try {
        if (address === undefined) throw new Error('no endpoint is ready');
        const { statusCode, body } = await request(url, { dispatcher: agent, method: 'POST', body: `turn ${turn}` });
        const text = await body.text();
        if (statusCode === 200 && expected.test(text)) served += 1;
        else failures.push(`${url}: ${statusCode} ${text.slice(0, 200)}`);
      } catch (thrown) {
        failures.push(`${url}: ${thrown instanceof Error ? `${thrown.name} ${thrown.message}` : thrown}`);
      }
      await pause(10);
    }
  }

  const work = Promise.all([follow(), ...Array.from({ length: clients }, send)]);
  return {
    get served() {
      return served;
    },
    failures,
    async more(count) {
      const wanted = served + count;
      while (served < wanted && failures.length === 0) await pause(20);
    },
    async stop() {
      isStopped = true;
      await work;
      await agent.close();
    },
  };
}
