import { connect } from "@plexus/mesh";
import { sleep } from "../clock.ts";
import type { Place } from "../contenders/contender.ts";
import { Worker } from "../runs/graphs.ts";
import { serve } from "../serve.ts";

const worker = {
  /** Works on so many items at a time, so many ms on each. */
  async host({ servers, namespace }: Place, concurrency: number, ms: number) {
    const mesh = await connect({ servers, mesh: namespace, name: "worker", http: false });
    const work = async (item: number): Promise<number> => {
      await sleep(ms);
      return item;
    };
    await mesh.host(Worker, { work }, { concurrency });
  },
};

export type RunWorker = typeof worker;
serve(worker);
