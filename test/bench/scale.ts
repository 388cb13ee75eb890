import { openReplicas } from "./replicas.ts";
import type { Work } from "./roles/responder.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const REPLICAS = [1, 2, 4];
/** What one replica works on at a time; the caller keeps twice as much open as four of them can take. */
const CONCURRENCY = 8;
const OUTSTANDING = 2 * 4 * CONCURRENCY;

const roles: Record<string, Work> = {
  "wait 50 ms": { kind: "wait", ms: 50 },
  "burn 1 ms": { kind: "burn", ms: 1 },
};
const name = (role: string, replicas: number): string => `${role}, replicas ${replicas}`;

/** Throughput over the number of replicas, each a process. The burning role can only grow with the cores. */
export const scale: Bench<"plexus"> = {
  contenders: ["plexus"],
  rounds: { full: 5, quick: 1 },
  bars: [
    {
      name: "calls/s, waiting role: 4 replicas ÷ 1",
      is: "at least",
      bar: 3.6,
      of: (value) =>
        value("plexus", name("wait 50 ms", 4)) / value("plexus", name("wait 50 ms", 1)),
    },
  ],
  sample,
};

async function sample(contender: "plexus", { quick, ...site }: Site): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const [role, work] of Object.entries(roles)) {
    for (const count of REPLICAS) {
      const place = { ...site, namespace: `${site.namespace}-${work.kind}-${count}` };
      const replicas = Array.from({ length: count }, () => ({ work, concurrency: CONCURRENCY }));
      await using open = await openReplicas(contender, place, replicas);
      await open.caller.ask("closed", OUTSTANDING, quick ? 0.5 : 1); // warm-up
      const { perSecond } = await open.caller.ask("closed", OUTSTANDING, quick ? 2 : 4);
      measurements.push({ name: name(role, count), unit: "1/s", value: perSecond });
    }
  }
  return measurements;
}
