import {
  startModelServer,
  type ModelServer,
  type StubBehaviour,
  type StubLatency,
} from "@plexus/testing";
import { serve } from "../serve.ts";

let server: ModelServer;

const WINDOW_MS = 60_000;

const stub = {
  async start(latency: StubLatency): Promise<string> {
    server = await startModelServer({ latency });
    return server.url;
  },

  /** What it does with every request from now on; null: it answers. */
  async always(behaviour: StubBehaviour | null) {
    server.always(behaviour ?? undefined);
    return server.count;
  },

  async count(): Promise<number> {
    return server.count;
  },

  /** The shortest time between two requests, of those behind the first `from`; 1e9 if there are not two. */
  async shortestGap(from: number): Promise<number> {
    const times = server.calls.slice(from).map(({ at }) => at);
    return Math.min(1e9, ...times.slice(1).map((at, i) => at - times[i]!));
  },

  /** The most requests that came within any minute. */
  async busiestMinute(): Promise<number> {
    const times = server.calls.map(({ at }) => at);
    let [first, most] = [0, 0];
    for (const [last, at] of times.entries()) {
      while (times[first]! <= at - WINDOW_MS) first++;
      most = Math.max(most, last - first + 1);
    }
    return most;
  },
};

export type ModelStub = typeof stub;
serve(stub);
