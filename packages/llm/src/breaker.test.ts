import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { countingFleet, deployment, useModels } from "../../../test/support/models.ts";
import { attempt } from "./attempt.ts";
import { Breaker, type BreakerOptions } from "./breaker.ts";
import { Failure } from "./failure.ts";

let breakers: Breaker[] = [];

afterEach(() => {
  for (const breaker of breakers) breaker.dispose();
  breakers = [];
});

function open(options: Partial<BreakerOptions> = {}): Breaker {
  const breaker = new Breaker("b", { attemptMs: 1_000, resetMs: 50, ...options });
  breakers.push(breaker);
  return breaker;
}

const { signal } = new AbortController();
const fails = () => Promise.reject(new Failure("server", "down"));
const works = () => Promise.resolve("fine");
const slow = () => sleep(2_100).then(fails);
const hangs = (): Promise<never> => new Promise(() => undefined);

async function times(count: number, work: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i++) {
    await work().catch(() => undefined);
  }
}

async function halfOpen(breaker: Breaker): Promise<void> {
  await times(5, () => breaker.run(fails));
  await expect.poll(() => breaker.state).toBe("half-open");
}

test("five failures of five calls open it, four do not, and then calls are refused at once", async () => {
  const breaker = open();
  await times(4, () => breaker.run(fails));
  expect(breaker.state).toBe("closed");
  await times(1, () => breaker.run(fails));
  expect([breaker.state, breaker.refuses]).toEqual(["open", true]);
  let ran = false;
  const refused = breaker.run(async () => (ran = true));
  await expect(refused).rejects.toMatchObject({ code: "EOPENBREAKER" });
  expect(ran).toBe(false);
});

test("a success while it is half-open closes it, a failure opens it again", async () => {
  const breaker = open();
  await halfOpen(breaker);
  await times(1, () => breaker.run(fails));
  expect(breaker.state).toBe("open");
  await expect.poll(() => breaker.state).toBe("half-open");
  await breaker.run(works);
  expect(breaker.state).toBe("closed");
});

describe("opossum's pitfalls:", () => {
  test("latencies are not kept and sorted for percentiles", async () => {
    const breaker = open();
    await times(3, () => breaker.run(works));
    expect(breaker.stats.latencyTimes).toEqual([]);
    expect(new Set(Object.values(breaker.stats.percentiles))).toEqual(new Set([-1]));
  });

  test("the window is several times as long as a call, so that slow failures add up", async () => {
    // With opossum's own 10 s, calls that fail after 60 s each would never be five in one window.
    expect(open({ attemptMs: 60_000 }).windowMs).toBe(240_000);
    // In small: five calls in a row of 2.1 s each, of which opossum's ten seconds would hold four.
    const breaker = open({ attemptMs: 3_000 });
    await times(5, () => breaker.run(slow));
    expect(breaker.state).toBe("open");
  });

  test("a trial that hangs does not leave it half-open for ever", async () => {
    const breaker = open();
    await halfOpen(breaker);
    const trial = breaker.run(() => attempt(100, signal, hangs));
    expect([breaker.state, breaker.refuses]).toEqual(["half-open", true]);
    await expect(trial).rejects.toMatchObject({ kind: "timeout" });
    expect(breaker.state).toBe("open");
    await expect.poll(() => breaker.state).toBe("half-open");
    await breaker.run(works);
    expect(breaker.state).toBe("closed");
  });

  test.each(["rateLimit", "auth", "aborted", "deadline", "request"] as const)(
    "a trial that fails neutrally (%s) does not close it, though such failures do not open it either",
    async (kind) => {
      const breaker = open();
      const neutral = () => breaker.run(() => Promise.reject(new Failure(kind, "no")));
      await times(10, neutral);
      expect(breaker.state).toBe("closed");
      await times(11, () => breaker.run(fails)); // they have counted as calls that went well
      await expect.poll(() => breaker.state).toBe("half-open");
      await times(1, neutral);
      expect(breaker.state).toBe("open");
    },
  );

  test("a call that is aborted takes no neighbour with it", async () => {
    const breaker = open();
    const gone = new AbortController();
    const signals: AbortSignal[] = [];
    const start = (given: AbortSignal) =>
      breaker.run(() =>
        attempt(5_000, given, async (own) => {
          signals.push(own);
          await sleep(100);
          return "fine";
        }),
      );
    const [first, second] = [start(gone.signal), start(signal)];
    first.catch(() => undefined);
    gone.abort();
    await expect(first).rejects.toMatchObject({ kind: "aborted" });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    expect(await second).toBe("fine");
    expect(breaker.state).toBe("closed");
  });

  test("opening an open one begins its time anew", async () => {
    const breaker = open({ resetMs: 200 });
    breaker.open();
    await sleep(150);
    breaker.open();
    await sleep(100);
    expect(breaker.state).toBe("open");
    await expect.poll(() => breaker.state).toBe("half-open");
  });
});

describe("with models behind it", () => {
  const models = useModels();

  test("calls that find the bulkhead full do not trip it", async () => {
    const server = await models.server({ latency: 200 });
    const fleet = countingFleet();
    const llm = await models.open({
      fleet,
      groups: { desk: { deployments: [deployment(server, { concurrency: 2, queue: 1 })] } },
    });
    const calls = Array.from({ length: 30 }, () => llm.generate("desk", "Hello"));
    const outcomes = await Promise.allSettled(calls);
    const refused = outcomes.filter((one) => one.status === "rejected");
    expect(refused).toHaveLength(27);
    expect(refused[0]!.reason).toMatchObject({ code: "OVERLOADED" });
    expect(server.open.most).toBe(2);
    const gauge = fleet.meter.gauge("plexus_breaker_state", "", []).with({ model: "main" });
    expect(gauge.value).toBe(0);
    expect((await llm.generate("desk", "Hello")).model).toBe("main");
  });

  test("a stream that hangs when it is the trial does not leave it half-open", async () => {
    const server = await models.server();
    server.always({ kind: "status", status: 500 });
    const spec = deployment(server, { timeout: 100, breaker: { reset: 100 } });
    const fleet = countingFleet();
    const llm = await models.open({
      fleet,
      groups: { desk: { deployments: [spec], attempts: 1 } },
    });
    const gauge = fleet.meter.gauge("plexus_breaker_state", "", []).with({ model: "main" });
    await times(5, () => llm.generate("desk", "Hello"));
    expect(gauge.value).toBe(2);
    server.always({ kind: "stall", afterChunks: 1 });
    await expect.poll(() => gauge.value).toBe(1);
    const read = async () => {
      for await (const _ of llm.stream("desk", "Hello")) continue;
    };
    await expect(read()).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(gauge.value).toBe(2);
    server.always(undefined);
    await expect.poll(() => gauge.value).toBe(1);
    await read();
    expect(gauge.value).toBe(0);
  });
});
