import { connect } from "@plexus/mesh";
import { now, sleep } from "../clock.ts";
import type { Place } from "../contenders/contender.ts";
import { serve } from "../serve.ts";
import { Shared } from "../tenants.ts";

const host = {
  /** Executes the tasks of all tenants, so many at a time, each taking so many ms. */
  async host({ servers, namespace }: Place, slots: number, ms: number) {
    const mesh = await connect({ servers, mesh: namespace, http: false });
    const work = async (): Promise<number> => {
      const begun = now();
      await sleep(ms);
      return begun;
    };
    await mesh.host(Shared, { work }, { taskConcurrency: slots });
  },
};

export type TenantHost = typeof host;
serve(host);
