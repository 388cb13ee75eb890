import { agent, topic as declareTopic } from "@plexus/core";
import { connect } from "@plexus/mesh";
import { Message } from "../message.ts";
import type { Link, Place } from "./contender.ts";

/** As deep as anything offered here: the clients without admission control refuse nobody either. */
const QUEUE = 100_000;

const Echo = agent("echo", {
  capabilities: { call: { input: Message, output: Message, idempotent: true } },
});

export async function open(place: Place): Promise<Link> {
  const mesh = await connect({ servers: place.servers, mesh: place.namespace });

  return {
    async respond({ work, concurrency }) {
      const call = async (message: Message): Promise<Message> => {
        const pending = work();
        if (pending !== undefined) await pending;
        return message;
      };
      await mesh.host(Echo, { call }, { concurrency, queue: QUEUE });
    },

    async caller(message, { replicas, placement }) {
      await mesh.waitFor(Echo, { instances: replicas, timeout: "10s" });
      const echo = mesh.get(
        Echo,
        placement === undefined || placement === "broker" ? {} : { placement },
      );
      return () => echo.call(message, { timeout: "5s" });
    },

    async subscribe(topic, receive) {
      await mesh.subscribe(declareTopic(topic, { schema: Message }), receive);
    },

    async publisher(topic) {
      const contract = declareTopic(topic, { schema: Message });
      return (message) => mesh.publish(contract, message);
    },
  };
}
