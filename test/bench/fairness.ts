import { sleep } from "./clock.ts";
import type { Percentiles } from "./latency.ts";
import { Remote } from "./remote.ts";
import type { TenantHost } from "./roles/tenant-host.ts";
import type { Tenant } from "./roles/tenant.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const HOSTS = 2;
const SLOTS = 16;
const WORK_MS = 20;
const RATE = 20;
const NOISE = 100;

const ALONE = "wait alone";
const BESIDE = "wait beside the noisy one";

/**
 * A tenant with little to do beside one with a hundred times as much, which is more than the hosts can take (1,600
 * tasks/s): how long until its tasks begin?
 */
export const fairness: Bench<"plexus"> = {
  contenders: ["plexus"],
  legend: {
    plexus: `quiet tenant ${RATE}/s, noisy one ${RATE * NOISE}/s; ${HOSTS} hosts of ${SLOTS} slots, ${WORK_MS} ms a task`,
  },
  rounds: { full: 5, quick: 1 },
  bars: [
    {
      name: "p99 of the quiet tenant's wait: beside a noisy one ÷ alone",
      is: "at most",
      bar: 2,
      of: (value) => value("plexus", `p99 ${BESIDE}`) / value("plexus", `p99 ${ALONE}`),
    },
  ],
  sample,
};

async function sample(_: "plexus", { quick, servers, namespace }: Site): Promise<Measurement[]> {
  await using stack = new AsyncDisposableStack();
  const place = { servers, namespace };
  const hosts = Array.from({ length: HOSTS }, () =>
    stack.use(Remote.start<TenantHost>("tenant-host")),
  );
  await Promise.all(hosts.map((host) => host.ask("host", place, SLOTS, WORK_MS)));
  const quiet = stack.use(Remote.start<Tenant>("tenant"));
  const noisy = stack.use(Remote.start<Tenant>("tenant"));
  await Promise.all([quiet, noisy].map((tenant) => tenant.ask("connect", place)));
  const seconds = quick ? 8 : 20;
  await quiet.ask("waits", "quiet", RATE * 10, 1); // warm-up
  const alone = await quiet.ask("waits", "quiet", RATE, seconds);
  const noise = noisy.ask("flood", "noisy", RATE * NOISE, seconds + 2);
  await sleep(1_000); // by then it has a queue
  const beside = await quiet.ask("waits", "quiet", RATE, seconds);
  const submitted = await noise;
  return [
    ...measured(ALONE, alone),
    ...measured(BESIDE, beside),
    { name: "noisy tasks submitted", unit: "1/s", value: submitted / (seconds + 2) },
  ];
}

function measured(name: string, { p50, p99 }: Percentiles): Measurement[] {
  return [
    { name: `p50 ${name}`, unit: "ms", value: p50 },
    { name: `p99 ${name}`, unit: "ms", value: p99 },
  ];
}
