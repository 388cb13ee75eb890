import { decode, encode } from "@msgpack/msgpack";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { Place } from "../contenders/contender.ts";
import type { Message } from "../message.ts";
import type { Recorder } from "./recorder.ts";

/** What one would write by hand. */
export async function open({ servers, namespace }: Place): Promise<Recorder> {
  const nc = await connect({ servers });
  const js = jetstream(nc);
  const manager = await jetstreamManager(nc);
  const name = `${namespace}-log`;
  await manager.streams.add({ name, subjects: [`${namespace}.log.>`], allow_atomic: true });
  const subject = (key: string): string => `${namespace}.log.${key}`;
  return {
    append: (key, message) => js.publish(subject(key), encode(message)),
    async appendAll([first, ...rest], message) {
      const batch = await js.startBatch(subject(first!), encode(message));
      const last = rest.pop()!;
      for (const key of rest) batch.add(subject(key), encode(message));
      await batch.commit(subject(last), encode(message));
    },
    async rebuild() {
      const made = await manager.consumers.add(name, { ack_policy: AckPolicy.None });
      const consumer = await js.consumers.get(name, made.name);
      let count = 0;
      let sum = 0;
      let pending = made.num_pending;
      const messages = await consumer.consume({ max_messages: 8_192 });
      for await (const message of messages) {
        sum += (decode(message.data) as Message).seq;
        count++;
        if (--pending === 0) break;
      }
      return sum < 0 ? 0 : count;
    },
  };
}
