import type { DeploymentSpec, ModelsOptions } from "@plexus/llm";
import { sleep } from "./clock.ts";
import { Remote } from "./remote.ts";
import type { Asked, Asker } from "./roles/asker.ts";
import type { ModelStub } from "./roles/model-stub.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

type Scenario = "overhead" | "outage" | "limit";

const PROCESSES = 4;
const RATE = 500; // calls a second, of all processes together
const DEADLINE_MS = 500; // of one attempt
const RESET_MS = 2_000;
const RPM = 600;

/** The model layer, on stub providers: what it costs, and what it is worth when one of them dies or limits its clients. */
export const llm: Bench<Scenario> = {
  contenders: ["overhead", "outage", "limit"],
  legend: {
    overhead:
      "bare fetch and the whole layer (router, breaker, four budgets, cache miss, metrics) in turn, one call at a time",
    outage: `${RATE} calls/s of ${PROCESSES} processes at two deployments, of which one falls silent; attempts have ${DEADLINE_MS} ms`,
    limit: `${PROCESSES} eager processes at a deployment of ${RPM} requests a minute`,
  },
  rounds: { full: 3, quick: 1 },
  bars: [
    {
      name: "ms at p50: the layer − bare fetch",
      is: "at most",
      bar: 0.3,
      of: (value) => value("overhead", "layer, p50") - value("overhead", "fetch, p50"),
    },
    {
      name: "outage: failed calls, %",
      is: "at most",
      bar: 1,
      everyRound: true,
      of: (value) => value("outage", "failed calls"),
    },
    {
      name: "outage: ms added at p99 ÷ an attempt's deadline",
      is: "at most",
      bar: 1,
      of: (value) =>
        (value("outage", "p99 in the outage") - value("outage", "p99 before")) / DEADLINE_MS,
    },
    {
      name: "outage: shortest time between trials of the dead one ÷ reset time",
      is: "at least",
      bar: 0.98, // the stub's clock, not that of the processes
      everyRound: true,
      of: (value) => value("outage", "shortest time between trials") / RESET_MS,
    },
    {
      name: `limit: requests in the busiest minute ÷ ${RPM}`,
      is: "at most",
      bar: 1.05,
      everyRound: true,
      of: (value) => value("limit", "requests in the busiest minute") / RPM,
    },
  ],
  sample: (scenario, site) => scenarios[scenario](site),
};

const scenarios: Record<Scenario, (site: Site) => Promise<Measurement[]>> = {
  async overhead(site) {
    await using stub = Remote.start<ModelStub>("model-stub");
    const url = await stub.ask("start", 0);
    await using asker = Remote.start<Asker>("asker");
    const limit = { usd: 1_000 };
    await asker.ask("open", site, {
      groups: { desk: { deployments: [deployment("main", url)] } },
      budgets: { mesh: limit, agent: limit, tenant: limit, run: limit },
    });
    await asker.ask("inTurn", url, site.quick ? 2 : 4); // warm-up
    const { fetch, llm: layer } = await asker.ask("inTurn", url, site.quick ? 3 : 12);
    return [
      { name: "fetch, p50", unit: "ms", value: fetch.p50 },
      { name: "fetch, p99", unit: "ms", value: fetch.p99 },
      { name: "layer, p50", unit: "ms", value: layer.p50 },
      { name: "layer, p99", unit: "ms", value: layer.p99 },
    ];
  },

  async outage(site) {
    await using first = Remote.start<ModelStub>("model-stub");
    await using second = Remote.start<ModelStub>("model-stub");
    const urls = [await first.ask("start", 20), await second.ask("start", 20)];
    const groups = {
      desk: { deployments: urls.map((url, i) => deployment(`d${i}`, url)) },
    };
    await using askers = await Askers.start(site, { groups });
    const seconds = site.quick ? 6 : 20;
    await askers.steadily(site.quick ? 2 : 3); // warm-up
    const before = await askers.steadily(site.quick ? 3 : 10);
    await first.ask("always", { kind: "stall" });
    const during = await askers.steadily(seconds);
    // What comes now are trials only: the breakers have been open for a while.
    const from = await first.ask("count");
    await askers.steadily(site.quick ? 6 : 12);
    const gap = await first.ask("shortestGap", from);
    const trials = (await first.ask("count")) - from;
    return [
      { name: "p99 before", unit: "ms", value: before.p99 },
      { name: "p99 in the outage", unit: "ms", value: during.p99 },
      { name: "failed calls", unit: "%", value: (during.failed / during.count) * 100 },
      { name: "trials of the dead one", unit: "", value: trials },
      { name: "shortest time between trials", unit: "ms", value: gap },
    ];
  },

  async limit(site) {
    await using stub = Remote.start<ModelStub>("model-stub");
    const url = await stub.ask("start", 5);
    const spec = { ...deployment("main", url), rpm: RPM, timeout: "10s" as const };
    await using askers = await Askers.start(site, { groups: { desk: { deployments: [spec] } } });
    const seconds = site.quick ? 8 : 65;
    const answered = await askers.eagerly(5, seconds);
    return [
      { name: "requests in the busiest minute", unit: "", value: await stub.ask("busiestMinute") },
      {
        name: "answers, of those allowed",
        unit: "%",
        value: (answered / ((RPM * seconds) / 60)) * 100,
      },
    ];
  },
};

function deployment(id: string, baseUrl: string): DeploymentSpec {
  return {
    id,
    baseUrl,
    model: "stub-model",
    apiKey: "key",
    price: { input: 1, output: 2 },
    timeout: DEADLINE_MS,
    breaker: { reset: RESET_MS },
  };
}

/** Several processes that ask models. */
class Askers implements AsyncDisposable {
  readonly #all: readonly Remote<Asker>[];

  private constructor(all: readonly Remote<Asker>[]) {
    this.#all = all;
  }

  static async start(site: Site, options: ModelsOptions): Promise<Askers> {
    const all = Array.from({ length: PROCESSES }, () => Remote.start<Asker>("asker"));
    await Promise.all(all.map((one) => one.ask("open", site, options)));
    await sleep(200);
    return new Askers(all);
  }

  /** The rate of all together; the percentiles of the slowest process. */
  async steadily(seconds: number): Promise<Asked> {
    const asked = await Promise.all(
      this.#all.map((one) => one.ask("steadily", RATE / PROCESSES, seconds)),
    );
    const sum = (of: (one: Asked) => number) => asked.reduce((total, one) => total + of(one), 0);
    const most = (of: (one: Asked) => number) => Math.max(...asked.map(of));
    return {
      count: sum(({ count }) => count),
      failed: sum(({ failed }) => failed),
      mean: most(({ mean }) => mean),
      p50: most(({ p50 }) => p50),
      p99: most(({ p99 }) => p99),
    };
  }

  async eagerly(lanes: number, seconds: number): Promise<number> {
    const answered = await Promise.all(this.#all.map((one) => one.ask("eagerly", lanes, seconds)));
    return answered.reduce((total, one) => total + one, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((one) => one[Symbol.asyncDispose]()));
  }
}
