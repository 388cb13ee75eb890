import { setTimeout as sleep } from "node:timers/promises";
import type { Cluster, NodeProcess } from "@plexus/testing";

/** What is done to a cluster, or to the processes that host registers. */
export const FAULTS = ["kill", "pause", "hold", "cut", "pause host", "kill host"] as const;
export type Fault = (typeof FAULTS)[number];

/** One fault: what, to which one, when after the beginning and for how long. */
export interface Disturbance {
  readonly fault: Fault;
  /** Chooses among the servers, or the hosts. */
  readonly victim: number;
  readonly afterMs: number;
  readonly forMs: number;
}

/** The hosts, of which one can be killed and started again. */
export interface Hosts {
  pick(victim: number): NodeProcess;
  replace(victim: number): Promise<void>;
}

/**
 * Draws what happens in a run: two or three faults, which may overlap. They last longer than an election takes (4 to 9 s) or much
 * shorter, so that leaders are deposed, and come back while they still believe that they lead.
 */
export function drawDisturbances(random: () => number, ms: number): Disturbance[] {
  const count = 2 + Math.floor(random() * 2);
  return Array.from({ length: count }, () => {
    const fault = FAULTS[Math.floor(random() * FAULTS.length)]!;
    const afterMs = random() * ms * 0.5;
    const longest = Math.max(500, ms - afterMs);
    return {
      fault,
      victim: Math.floor(random() * 3),
      afterMs,
      forMs: random() < 0.5 ? 200 + random() * 1_500 : 500 + random() * longest,
    };
  });
}

/** Lets it happen; what happens to one server, or to the hosts, one after the other. Resolves when everything is whole again, or will be by itself. */
export async function disturbAll(
  cluster: Cluster,
  hosts: Hosts,
  disturbances: readonly Disturbance[],
): Promise<void> {
  const began = performance.now();
  const target = ({ fault, victim }: Disturbance): string =>
    fault.endsWith("host") ? "hosts" : `server ${victim}`;
  const groups = Map.groupBy(disturbances, target);
  await Promise.all(
    [...groups.values()].map(async (group) => {
      for (const one of group.toSorted((a, b) => a.afterMs - b.afterMs)) {
        await sleep(Math.max(0, one.afterMs - (performance.now() - began)));
        await disturb(cluster, hosts, one);
      }
    }),
  );
}

async function disturb(
  cluster: Cluster,
  hosts: Hosts,
  { fault, victim, forMs }: Disturbance,
): Promise<void> {
  const broker = cluster.brokers[victim]!;
  switch (fault) {
    case "kill":
      await broker.restart({ signal: "SIGKILL", downMs: forMs });
      return;
    case "pause":
      await broker.pause();
      await sleep(forMs);
      broker.resume();
      return;
    case "hold":
    case "cut":
      await cluster.isolate(victim, fault);
      await sleep(forMs);
      await cluster.heal();
      return;
    case "pause host": {
      const host = hosts.pick(victim);
      await host.pause();
      await sleep(forMs);
      host.resume();
      return;
    }
    case "kill host":
      await hosts.pick(victim).kill();
      await sleep(forMs);
      await hosts.replace(victim);
  }
}
