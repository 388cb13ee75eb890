import { connect, type Mesh } from "@plexus/mesh";
import type { Place } from "../contenders/contender.ts";
import { Latencies, type Percentiles } from "../latency.ts";
import { openLoop } from "../load.ts";
import { message } from "../message.ts";
import { serve } from "../serve.ts";
import { Shared } from "../tenants.ts";

let mesh: Mesh;

const tenant = {
  async connect({ servers, namespace }: Place) {
    mesh = await connect({ servers, mesh: namespace, http: false });
  },

  /** Submits on schedule and gives how long the tasks waited, from when they should have been submitted until they began. */
  async waits(name: string, rate: number, seconds: number): Promise<Percentiles> {
    const waits = new Latencies();
    const ended: Promise<void>[] = [];
    let seq = 0;
    const one = async (intended: number): Promise<void> => {
      const task = await mesh.submit(Shared, "work", message(seq++, intended), { tenant: name });
      waits.record((await task.result()) - intended);
    };
    await openLoop(rate, seconds, (intended) => void ended.push(one(intended)));
    await Promise.all(ended);
    return waits.percentiles();
  },

  /** Submits on schedule and waits for nothing; gives how many were submitted. */
  async flood(name: string, rate: number, seconds: number): Promise<number> {
    return openLoop(rate, seconds, (intended) =>
      mesh.submit(Shared, "work", message(0, intended), { tenant: name }),
    );
  },
};

export type Tenant = typeof tenant;
serve(tenant);
