import type { Broker } from "./broker.ts";

/** A broker with the name it has within its cluster. */
export type Member = { name: string; broker: Broker };

type Jsz = { meta_cluster?: { leader?: string; replicas?: { name: string; current: boolean }[] } };
type Routez = { routes?: { remote_name?: string }[] };

/**
 * The JetStream leader of the members that are up, and how many these are.
 * @throws Error that says what they lack: a route between two of them, a leader that all name, or a member that has caught up
 */
export async function findLeader(
  members: readonly Member[],
): Promise<{ leader: Broker; up: number }> {
  const up = members.filter(({ broker }) => broker.pid !== undefined);
  const states = await Promise.all(
    up.map(async ({ name, broker }) => {
      const [jsz, routez] = await Promise.all([
        getJson<Jsz>(`${broker.monitorUrl}/jsz`),
        getJson<Routez>(`${broker.monitorUrl}/routez`),
      ]);
      const routes = new Set(routez.routes?.map((route) => route.remote_name));
      return {
        name,
        routes,
        leader: jsz.meta_cluster?.leader,
        replicas: jsz.meta_cluster?.replicas,
      };
    }),
  );

  const leader = states[0]?.leader;
  for (const { name, routes, leader: named, replicas } of states) {
    for (const other of up) {
      if (other.name !== name && !routes.has(other.name)) {
        throw new Error(`${name} has no route to ${other.name}`);
      }
    }
    if (!named || !up.some((member) => member.name === named)) {
      throw new Error(`${name} knows no JetStream leader that is up`);
    }
    if (named !== leader) throw new Error(`${name} takes ${named} for the leader, not ${leader}`);
    if (named !== name) continue;
    for (const other of up) {
      const current = replicas?.find((replica) => replica.name === other.name)?.current;
      if (other.name !== name && !current) throw new Error(`${other.name} has not caught up`);
    }
  }
  const leading = up.find(({ name }) => name === leader);
  if (leading === undefined) throw new Error("no server is up");
  return { leader: leading.broker, up: up.length };
}

async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return (await response.json()) as T;
}
