import { agent } from "@plexus/core";
import { connect } from "@plexus/mesh";
import type { Place } from "../contenders/contender.ts";
import { Message } from "../message.ts";
import { serve } from "../serve.ts";

const KINDS = 10;

const crowd = {
  /** Hosts so many instances, of ten kinds of agent, in this process. */
  async host(place: Place, index: number, instances: number) {
    const mesh = await connect({
      servers: place.servers,
      mesh: place.namespace,
      name: `crowd-${index}`,
    });
    const contracts = Array.from({ length: KINDS }, (_, kind) =>
      agent(`worker-${kind}`, { capabilities: { call: { input: Message, output: Message } } }),
    );
    const host = (contract: (typeof contracts)[number]) =>
      mesh.host(contract, { call: async (value) => value });
    await Promise.all(
      contracts.flatMap((contract) =>
        Array.from({ length: instances / KINDS }, () => host(contract)),
      ),
    );
  },
};

export type Crowd = typeof crowd;
serve(crowd);
