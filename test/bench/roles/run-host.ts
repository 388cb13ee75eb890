import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { connect, type Mesh } from "@plexus/mesh";
import { hostGraph } from "@plexus/workflow";
import type { Place } from "../contenders/contender.ts";
import { asking, growing, mapping } from "../runs/graphs.ts";
import { serve } from "../serve.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

let mesh: Mesh;
let steppedMs = 0;

const host = {
  async asking({ servers, namespace }: Place) {
    mesh = await connect({ servers, mesh: namespace, name: "host", http: false });
    await hostGraph(mesh, asking());
  },

  async mapping({ servers, namespace }: Place, atOnce: number) {
    mesh = await connect({ servers, mesh: namespace, name: "host", http: false });
    await hostGraph(mesh, mapping(mesh, atOnce));
  },

  async growing({ servers, namespace }: Place) {
    mesh = await connect({ servers, mesh: namespace, name: "host", http: false });
    await hostGraph(
      mesh,
      growing((ms) => {
        steppedMs = ms;
      }),
    );
  },

  /** What the steps of the last run took, in ms. */
  async stepped() {
    return steppedMs;
  },

  /** What this process holds of the machine's memory, garbage aside, in MB. */
  async memory() {
    collectGarbage();
    return process.memoryUsage().rss / 1e6;
  },

  async pid() {
    return process.pid;
  },
};

export type RunHost = typeof host;
serve(host);
