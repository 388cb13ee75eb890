import { entity } from "@plexus/core";
import { connect } from "@plexus/mesh";
import { z } from "zod";
import type { Place } from "../contenders/contender.ts";
import { Message, message } from "../message.ts";
import type { Keyed } from "./keyed.ts";

const Meter = entity("meter", {
  state: z.object({ count: z.number() }),
  initial: { count: 0 },
  events: { added: Message },
  fold: { added: ({ count }) => ({ count: count + 1 }) },
  commands: { add: { input: Message, output: z.number() } },
});

export async function open(place: Place): Promise<Keyed> {
  const mesh = await connect({ servers: place.servers, mesh: place.namespace });
  return {
    async own() {
      await mesh.host(Meter, {
        add: (one, context) => {
          context.emit("added", one);
          return context.state.count;
        },
      });
    },

    async caller() {
      await mesh.get(Meter, "0").add(message(0, 0));
      const last = new Map<string, { result(options: { timeout: "60s" }): Promise<unknown> }>();
      return {
        call: (key, one) => mesh.get(Meter, key).add(one),
        async send(key, one) {
          last.set(key, await mesh.get(Meter, key).add.send(one));
        },
        executed: async (key) => last.get(key)?.result({ timeout: "60s" }),
      };
    },
  };
}
