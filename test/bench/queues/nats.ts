import { AckPolicy, RetentionPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { decode, encode } from "@msgpack/msgpack";
import type { Message } from "../message.ts";
import { SLOTS, type Queue, type QueuePlace } from "./queue.ts";

const REPLY_TO = "Reply-To";

/** The cycle as its documentation shows it, with the answer on an ordinary subject. */
export async function open(place: QueuePlace): Promise<Queue> {
  const nc = await connect({ servers: place.servers });
  const js = jetstream(nc);
  const stream = `${place.namespace}-work`;
  const subject = (name: string): string => `${place.namespace}.work.${name}`;
  const manager = await jetstreamManager(nc);
  const ensure = (): Promise<unknown> =>
    manager.streams.add({
      name: stream,
      subjects: [subject("*")],
      retention: RetentionPolicy.Workqueue,
    });

  return {
    async work(name) {
      await ensure();
      await manager.consumers.add(stream, {
        durable_name: name,
        filter_subject: subject(name),
        ack_policy: AckPolicy.Explicit,
        max_ack_pending: -1,
      });
      const consumer = await js.consumers.get(stream, name);
      await consumer.consume({
        max_messages: SLOTS,
        callback: (message) => {
          const { seq } = decode(message.data) as Message;
          nc.publish(message.headers?.get(REPLY_TO) ?? "", encode(seq));
          message.ack();
        },
      });
    },

    async submitter(name) {
      await ensure();
      const inbox = `${place.namespace}.answers.${process.pid}`;
      const waiting = new Map<string, (value: unknown) => void>();
      nc.subscribe(`${inbox}.*`, {
        callback: (_error, answer) => {
          const id = answer.subject.slice(inbox.length + 1);
          waiting.get(id)?.(decode(answer.data));
          waiting.delete(id);
        },
      });
      let next = 0;
      return async (message) => {
        const id = String(next++);
        const own = headers();
        own.set(REPLY_TO, `${inbox}.${id}`);
        const answered = new Promise<unknown>((resolve) => waiting.set(id, resolve));
        await js.publish(subject(name), encode(message), { headers: own });
        return () => answered;
      };
    },
  };
}
