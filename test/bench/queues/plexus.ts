import { agent } from "@plexus/core";
import { connect } from "@plexus/mesh";
import { z } from "zod";
import { Message } from "../message.ts";
import { SLOTS, type Queue, type QueuePlace } from "./queue.ts";

const contract = (name: string) =>
  agent(name, { capabilities: { run: { input: Message, output: z.number(), durable: true } } });

export async function open(place: QueuePlace): Promise<Queue> {
  const mesh = await connect({ servers: place.servers, mesh: place.namespace });

  return {
    async work(name) {
      await mesh.host(contract(name), { run: ({ seq }) => seq }, { taskConcurrency: SLOTS });
    },

    async submitter(name) {
      const Worker = contract(name);
      return async (message) => {
        const task = await mesh.submit(Worker, "run", message);
        return () => task.result();
      };
    },
  };
}
