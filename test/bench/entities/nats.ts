import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { decode, encode } from "@msgpack/msgpack";
import { connect } from "@nats-io/transport-node";
import type { Place } from "../contenders/contender.ts";
import type { Message } from "../message.ts";
import type { Keyed } from "./keyed.ts";

/** What one would write by hand: a responder that stores before it answers. */
export async function open(place: Place): Promise<Keyed> {
  const nc = await connect({ servers: place.servers });
  const js = jetstream(nc);
  const { namespace } = place;
  return {
    async own() {
      const manager = await jetstreamManager(nc);
      await manager.streams.add({ name: `${namespace}-log`, subjects: [`${namespace}.log.>`] });
      await manager.streams.add({ name: `${namespace}-cmd`, subjects: [`${namespace}.cmd.>`] });
      const last = new Map<string, Promise<number>>();
      nc.subscribe(`${namespace}.own.*`, {
        callback: (_error, request) => {
          const key = request.subject.split(".").at(-1)!;
          const { seq } = decode(request.data) as Message;
          const stored = (last.get(key) ?? Promise.resolve(0)).then(async (before) => {
            const expect = { lastSubjectSequence: before };
            const ack = await js.publish(`${namespace}.log.${key}`, request.data, { expect });
            request.respond(encode(seq));
            return ack.seq;
          });
          last.set(key, stored);
        },
      });
      await nc.flush();
    },

    caller: async () => ({
      call: async (key, message) =>
        decode(
          (await nc.request(`${namespace}.own.${key}`, encode(message), { timeout: 30_000 })).data,
        ),
      send: (key, message) => js.publish(`${namespace}.cmd.${key}`, encode(message)),
      executed: async () => undefined,
    }),
  };
}
