import { openModels, type Models, type ModelsOptions } from "@plexus/llm";
import { connect } from "@plexus/mesh";
import { now } from "../clock.ts";
import type { Place } from "../contenders/contender.ts";
import { Latencies, type Percentiles } from "../latency.ts";
import { closedLoop, openLoop } from "../load.ts";
import { serve } from "../serve.ts";

/** What calls have come to. */
export interface Asked extends Percentiles {
  readonly failed: number;
}

let llm: Models;
let next = 0;

async function timed(into: Latencies, work: () => Promise<unknown>): Promise<void> {
  const from = now();
  await work();
  into.record(now() - from);
}

/** A question that nobody has asked before: a cache never has the answer. */
const question = (): string => `What do you make of bar ${process.pid} ${next++}?`;

const asker = {
  async open({ servers, namespace }: Place, options: ModelsOptions) {
    const mesh = await connect({ servers, mesh: namespace, http: false, name: "asker" });
    llm = await openModels({ ...options, fleet: mesh });
  },

  /** Bare fetches and calls of the whole layer in turn, one at a time. */
  async inTurn(url: string, seconds: number): Promise<{ fetch: Percentiles; llm: Percentiles }> {
    const [bare, whole] = [new Latencies(), new Latencies()];
    const viaFetch = async (): Promise<unknown> => {
      const response = await fetch(`${url}/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: "Bearer key" },
        body: JSON.stringify({
          model: "stub-model",
          max_tokens: 100,
          temperature: 0,
          messages: [{ role: "user", content: question() }],
        }),
      });
      return response.json();
    };
    const scope = { tenant: "t", run: "r" };
    const viaLayer = (): Promise<unknown> =>
      llm.generate("desk", { prompt: question(), temperature: 0, maxTokens: 100 }, scope);
    await closedLoop(1, seconds, async () => {
      await timed(bare, viaFetch);
      await timed(whole, viaLayer);
    });
    return { fetch: bare.percentiles(), llm: whole.percentiles() };
  },

  /** So many calls a second, whatever becomes of them. */
  async steadily(rate: number, seconds: number): Promise<Asked> {
    const latencies = new Latencies();
    let failed = 0;
    const open = new Set<Promise<unknown>>();
    await openLoop(rate, seconds, (intended) => {
      const call = (async () => {
        await llm.generate("desk", question()).catch(() => failed++);
        latencies.record(now() - intended);
      })();
      open.add(call);
      void call.finally(() => open.delete(call));
    });
    await Promise.all(open);
    return { ...latencies.percentiles(), failed };
  },

  /** As many calls as there can be. */
  async eagerly(lanes: number, seconds: number): Promise<number> {
    let answered = 0;
    await closedLoop(lanes, seconds, async () => {
      const answer = await llm.generate("desk", question()).catch(() => undefined);
      if (answer !== undefined) answered++;
    });
    return answered;
  },
};

export type Asker = typeof asker;
serve(asker);
