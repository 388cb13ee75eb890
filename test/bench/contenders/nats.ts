import { decode, encode } from "@msgpack/msgpack";
import { connect, type Msg } from "@nats-io/transport-node";
import type { Message } from "../message.ts";
import type { Link, Place } from "./contender.ts";
import { limited } from "./limited.ts";

/** Calls carry ready-made bytes, no codec at all; events are MessagePack, encoded and decoded at every hop. */
export async function open(place: Place, options: { noAsyncTraces: boolean }): Promise<Link> {
  const nc = await connect({ servers: place.servers, ...options });
  const subject = (name: string): string => `${place.namespace}.${name}`;

  return {
    async respond({ work, concurrency }) {
      const run = limited(concurrency, work);
      nc.subscribe(subject("rpc"), {
        queue: "replicas",
        callback: (error, request) => {
          if (error) throw error;
          const pending = run();
          if (pending === undefined) request.respond(request.data);
          else void answerAfter(pending, request);
        },
      });
      await nc.flush();
    },

    async caller(message) {
      const bytes = encode(message);
      const to = subject("rpc");
      return () => nc.request(to, bytes, { timeout: 5000 });
    },

    async subscribe(topic, receive) {
      nc.subscribe(subject(topic), {
        callback: (error, event) => {
          if (error) throw error;
          void receive(decode(event.data) as Message);
        },
      });
      await nc.flush();
    },

    async publisher(topic) {
      const to = subject(topic);
      return (message) => {
        nc.publish(to, encode(message));
      };
    },
  };
}

async function answerAfter(pending: Promise<void>, request: Msg): Promise<void> {
  await pending;
  request.respond(request.data);
}
