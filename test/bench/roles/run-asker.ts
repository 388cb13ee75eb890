import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { connect, type Mesh } from "@plexus/mesh";
import { Command, remoteGraph } from "@plexus/workflow";
import { now } from "../clock.ts";
import type { Place } from "../contenders/contender.ts";
import { asking, growing, mapping } from "../runs/graphs.ts";
import { serve } from "../serve.ts";

const IN_FLIGHT = 128;
let mesh: Mesh;

/** How many a second. */
async function each(from: number, to: number, work: (n: number) => Promise<void>): Promise<number> {
  const begin = now();
  let next = from;
  const lane = async (): Promise<void> => {
    while (next < to) await work(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return (to - from) / ((now() - begin) / 1_000);
}

const asker = {
  async connect({ servers, namespace }: Place) {
    mesh = await connect({ servers, mesh: namespace, name: "asker", http: false });
  },

  /** Begins runs that wait then: how many a second. */
  async begin(from: number, to: number) {
    const graph = remoteGraph(mesh, asking());
    return each(from, to, async (n) => {
      const { status } = await graph.invoke({ order: `order ${n}` }, { thread: `t${n}` });
      if (status !== "waiting") throw new Error(`run ${n} is ${status}`);
    });
  },

  /** Answers them: how many a second go on to their end. */
  async answer(from: number, to: number) {
    const graph = remoteGraph(mesh, asking());
    return each(from, to, async (n) => {
      const answer = new Command({ resume: `verdict ${n}` });
      const { status, output } = await graph.invoke(answer, { thread: `t${n}` });
      if (status !== "completed" || output.verdict !== `verdict ${n}`) {
        throw new Error(`run ${n} is ${status}, ${output.verdict}`);
      }
    });
  },

  /** Has so many items worked on: how many a second. */
  async map(items: number, atOnce: number) {
    const graph = remoteGraph(mesh, mapping(mesh, atOnce));
    const begin = now();
    const { output } = await graph.invoke({ items, done: 0 }, { thread: `${items}` });
    if (output.done !== items) throw new Error(`${output.done} of ${items} items are done`);
    return items / ((now() - begin) / 1_000);
  },

  /** Fills the state of a thread. */
  async fill(thread: string, megabytes: number) {
    await remoteGraph(mesh, growing(ignore)).invoke({ megabytes, steps: 0 }, { thread });
  },

  /** Takes so many steps on it; each is stored before the next one begins. */
  async step(thread: string, steps: number) {
    const graph = remoteGraph(mesh, growing(ignore));
    await graph.invoke({ megabytes: 0, steps }, { thread, durability: "sync" });
  },

  /** Bytes in the journal. */
  async stored({ servers, namespace }: Place) {
    const nats = await connectNats({ servers });
    const { state } = await (await jetstreamManager(nats)).streams.info(`${namespace}-journal`);
    await nats.close();
    return state.bytes;
  },
};

function ignore(): void {}

export type RunAsker = typeof asker;
serve(asker);
