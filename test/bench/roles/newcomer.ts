import { connect } from "@plexus/mesh";
import { now, sleep } from "../clock.ts";
import type { Place } from "../contenders/contender.ts";
import { serve } from "../serve.ts";

const newcomer = {
  async secondsToSee(place: Place, instances: number) {
    const begin = now();
    const mesh = await connect({ servers: place.servers, mesh: place.namespace, name: "newcomer" });
    while (mesh.agents().length < instances) await sleep(2);
    return (now() - begin) / 1000;
  },
};

export type Newcomer = typeof newcomer;
serve(newcomer);
