import { describe, expect, test } from "vitest";
import { shardConfig, type ShardConfig } from "./shard-config.ts";
import type { ShardLease, WriteOutcome } from "./shard-lease.ts";
import { ShardMachine } from "./shard-machine.ts";
import type { SeenLease, ShardEffect, ShardInput } from "./shard-protocol.ts";

const held = (owner: string, epoch: number): ShardLease => ({ state: "held", owner, epoch });

const released = (owner: string, epoch: number, heir?: string, leaving = false): ShardLease => ({
  state: "released",
  owner,
  epoch,
  heir,
  leaving,
});

const team = (...ids: string[]): ShardInput => ({
  type: "members",
  members: ids.map((id) => ({ id, weight: 1 })),
});

/** Process `a` with leases of 3 s, and a hand for what its driver would do. */
class Bench {
  readonly machine: ShardMachine;
  now = 0;

  constructor(config: Partial<ShardConfig> = {}) {
    const self = { id: "a", weight: 1 };
    const times = { ttlMs: 3_000, settleMs: 1_000, silentMs: 10_000, quiesceMs: 8_000 };
    this.machine = new ShardMachine(shardConfig({ self, partitions: 2, ...times, ...config }));
  }

  give(input: ShardInput): ShardEffect[] {
    return this.machine.handle(input, this.now);
  }

  /** Time passes in ticks of 100 ms. */
  wait(ms: number): ShardEffect[] {
    const effects: ShardEffect[] = [];
    for (const end = this.now + ms; this.now < end;) {
      this.now = Math.min(end, this.now + 100);
      effects.push(...this.give({ type: "tick" }));
    }
    return effects;
  }

  see(partition: number, revision: number, record?: ShardLease): ShardEffect[] {
    return this.give({ type: "seen", partition, revision, record });
  }

  answer(effect: ShardEffect | undefined, outcome: WriteOutcome): ShardEffect[] {
    if (effect === undefined || !("write" in effect)) throw new Error("This is not a write.");
    const { partition, write } = effect;
    return this.give({ type: "wrote", partition, write, outcome });
  }

  written(effect: ShardEffect | undefined, revision: number): ShardEffect[] {
    return this.answer(effect, { type: "written", revision });
  }

  /** Connected, with these members settled at time 1,000 and these leases in the store. */
  settle(ids: readonly string[], leases: readonly SeenLease[] = []): ShardEffect[] {
    this.give(team(...ids));
    return [...this.give({ type: "synced", leases }), ...this.wait(1_000)];
  }

  /** Alone, and owner of both partitions with epochs 1 and 2 since time 1,000. */
  own(): this {
    const [first, second] = this.settle(["a"]);
    this.written(first, 1);
    this.written(second, 2);
    return this;
  }

  epochs(): (number | undefined)[] {
    return [0, 1].map((partition) => this.machine.epoch(partition, this.now));
  }
}

/** `b` has both partitions. */
const OTHERS: readonly SeenLease[] = [0, 1].map((partition) => ({
  partition,
  revision: partition + 1,
  record: held("b", partition + 1),
}));

const types = (effects: readonly ShardEffect[]): string[] => effects.map(({ type }) => type);

describe("a process", () => {
  test("acquires its partitions when the membership has settled, and starts what it has got", () => {
    const bench = new Bench();
    bench.give(team("a"));
    expect(bench.give({ type: "synced", leases: [] })).toStrictEqual([]);
    expect(bench.wait(900)).toStrictEqual([]);
    const effects = bench.wait(100);
    expect(effects).toMatchObject([
      { type: "acquire", partition: 0, expectedRevision: 0 },
      { type: "acquire", partition: 1, expectedRevision: 0 },
    ]);
    expect(bench.written(effects[0], 7)).toStrictEqual([{ type: "start", partition: 0, epoch: 7 }]);
    expect(bench.answer(effects[1], { type: "conflict" })).toStrictEqual([]);
    expect(bench.epochs()).toStrictEqual([7, undefined]);
  });

  test("acquires nothing of what others have", () => {
    const bench = new Bench();
    expect(bench.settle(["a", "b"], OTHERS)).toStrictEqual([]);
  });

  test("renews a lease at a third of its time, and believes in it from when that was sent", () => {
    const bench = new Bench().own();
    expect(bench.wait(900)).toStrictEqual([]);
    const [renewal] = bench.wait(100);
    expect(renewal).toMatchObject({ type: "renew", expectedRevision: 1, epoch: 1 });
    bench.wait(1_500);
    bench.written(renewal, 3);
    bench.now = 4_999; // sent at 2,000
    expect(bench.epochs()[0]).toBe(1);
    bench.now = 5_000;
    expect(bench.epochs()[0]).toBeUndefined();
  });

  test("stops believing in a lease whose renewals get no answer, and drops the partition", () => {
    const bench = new Bench().own();
    const [renewal] = bench.wait(1_000);
    bench.wait(500);
    expect(bench.answer(renewal, { type: "unknown" })).toStrictEqual([]);
    expect(types(bench.wait(200))).toContain("renew");
    expect(bench.epochs()[0]).toBe(1);
    const dropped = { type: "drop", partition: 0, epoch: 1, reason: "expired" };
    expect(bench.wait(1_300)).toContainEqual(dropped);
    expect(bench.epochs()).toStrictEqual([undefined, undefined]);
  });

  test("does not believe an answer that comes when the lease has run out already", () => {
    const bench = new Bench();
    const [acquisition] = bench.settle(["a"]);
    bench.now += 3_000;
    const effects = bench.written(acquisition, 1);
    expect(effects).toMatchObject([{ type: "acquire", partition: 0, expectedRevision: 1 }]);
    expect(bench.written(effects[0], 5)).toStrictEqual([{ type: "start", partition: 0, epoch: 5 }]);
  });

  test("goes on when a renewal was written but its answer lost", () => {
    const bench = new Bench().own();
    const [renewal] = bench.wait(1_000);
    bench.answer(renewal, { type: "unknown" });
    const [again] = bench.wait(200);
    expect(again).toMatchObject({ type: "renew", expectedRevision: 1 });
    expect(bench.answer(again, { type: "conflict" })).toStrictEqual([]);
    const [third] = bench.see(0, 3, held("a", 1));
    expect(third).toMatchObject({ type: "renew", expectedRevision: 3, epoch: 1 });
    bench.written(third, 4);
    bench.wait(2_000);
    expect(bench.epochs()[0]).toBe(1);
  });

  test("does not believe for longer because of a renewal of which only the watch tells", () => {
    const bench = new Bench().own();
    const [renewal] = bench.wait(1_000);
    bench.answer(renewal, { type: "unknown" });
    bench.now = 3_900;
    bench.see(0, 3, held("a", 1));
    expect(bench.epochs()[0]).toBe(1);
    bench.now = 4_000;
    expect(bench.epochs()[0]).toBeUndefined();
  });

  test("drops a partition at once when somebody else has written its lease", () => {
    const byConflict = new Bench().own();
    const [renewal] = byConflict.wait(1_000);
    const dropped = { type: "drop", partition: 0, epoch: 1, reason: "lost" };
    expect(byConflict.answer(renewal, { type: "conflict" })).toContainEqual(dropped);

    const byWatch = new Bench().own();
    expect(byWatch.see(0, 9, held("b", 9))).toContainEqual(dropped);
  });

  test("hands over to one that has joined: quiesces, keeps the lease meanwhile, releases, names the heir", () => {
    const bench = new Bench().own();
    bench.give(team("a", "b"));
    const effects = bench.wait(1_100);
    const quiesce = effects.find(({ type }) => type === "quiesce");
    expect(quiesce).toBeDefined();
    const { partition, epoch } = quiesce as { partition: number; epoch: number };
    const renewal = effects.find((one) => one.type === "renew" && one.partition === partition);
    expect(bench.epochs()[partition]).toBe(epoch);
    expect(bench.give({ type: "quiesced", partition, epoch })).toStrictEqual([
      { type: "drop", partition, epoch, reason: "released" },
    ]);
    expect(bench.epochs()[partition]).toBeUndefined();
    const [release] = bench.written(renewal, 3);
    expect(release).toMatchObject({ type: "release", expectedRevision: 3, epoch, heir: "b" });
    expect(bench.written(release, 4)).toStrictEqual([]);
    const later = bench.wait(3_000);
    expect(later).not.toContainEqual(expect.objectContaining({ type: "acquire", partition }));
  });

  test("acquires what it is the heir of at once, even before it knows who else there is", () => {
    const bench = new Bench();
    bench.give(team("a"));
    bench.give({ type: "synced", leases: OTHERS });
    expect(bench.see(1, 5, released("b", 2, "a"))).toMatchObject([
      { type: "acquire", partition: 1, expectedRevision: 5 },
    ]);
  });

  test("takes what nobody has at once, new or not, where others serve already", () => {
    const bench = new Bench();
    bench.give(team("a", "b"));
    const leases: SeenLease[] = [
      { partition: 0, revision: 1, record: held("b", 1) },
      { partition: 1, revision: 2, record: released("gone", 2, "gone", true) },
    ];
    expect(bench.give({ type: "synced", leases })).toMatchObject([
      { type: "acquire", partition: 1, expectedRevision: 2 },
    ]);
  });

  test("leaves to the heir what was released to it, unless it does not come", () => {
    const bench = new Bench();
    bench.settle(["a", "b", "c"], OTHERS);
    expect(bench.see(1, 5, released("b", 2, "c"))).toStrictEqual([]);
    const still = (): ShardEffect[] => bench.see(0, bench.now, held("b", 1));
    for (let i = 0; i < 3; i++) expect([...bench.wait(1_000), ...still()]).toStrictEqual([]);
    expect(bench.wait(200)).toMatchObject([{ type: "acquire", partition: 1 }]);
  });

  test("takes over what its owner has not renewed for the time to live and the margin", () => {
    const bench = new Bench();
    bench.settle(["a", "b"], OTHERS);
    expect(bench.wait(2_100)).toStrictEqual([]); // 3,100 ms since it was seen first
    expect(bench.wait(100)).toMatchObject([
      { type: "acquire", partition: 0, expectedRevision: 1 },
      { type: "acquire", partition: 1, expectedRevision: 2 },
    ]);
  });

  test("takes over what has run out without waiting for those who came too late to see it", () => {
    const bench = new Bench({ partitions: 8 });
    const leases = Array.from({ length: 8 }, (_, partition) => ({
      partition,
      revision: partition + 1,
      record: held("b", partition + 1),
    }));
    bench.settle(["a", "b"], leases);
    const newcomers: string[] = [];
    const effects: ShardEffect[] = [];
    for (const id of ["c", "d", "e", "f"]) {
      effects.push(...bench.wait(500));
      newcomers.push(id);
      effects.push(...bench.give(team("a", "b", ...newcomers)));
    }
    expect(effects).toEqual([]);
    const taken = bench.wait(200).filter(({ type }) => type === "acquire");
    expect(taken).toHaveLength(8);
  });

  test("does not count the time in which it was stopped itself against others", () => {
    const bench = new Bench();
    bench.settle(["a", "b"], OTHERS);
    bench.now += 60_000;
    expect(bench.give({ type: "tick" })).toStrictEqual([]);
  });

  test("does not count the time in which it was disconnected against others", () => {
    const bench = new Bench();
    bench.settle(["a", "b"], OTHERS);
    bench.give({ type: "disconnected" });
    expect(bench.wait(10_000)).toStrictEqual([]);
    expect(bench.give({ type: "synced", leases: OTHERS })).toStrictEqual([]);
    expect(bench.wait(3_000)).toStrictEqual([]);
  });

  test("writes nothing while it is disconnected, and gets back its own when it is connected again", () => {
    const bench = new Bench().own();
    bench.give({ type: "disconnected" });
    expect(types(bench.wait(4_000))).toStrictEqual(["drop", "drop"]);
    const leases = [0, 1].map((partition) => ({
      partition,
      revision: partition + 1,
      record: held("a", partition + 1),
    }));
    expect(types(bench.give({ type: "synced", leases }))).toStrictEqual(["acquire", "acquire"]);
  });

  test("gives back what it got by a write that it had given up", () => {
    const bench = new Bench();
    const [acquisition] = bench.settle(["a", "b"], [OTHERS[1]!]);
    bench.answer(acquisition, { type: "unknown" });
    expect(bench.see(0, 5, held("b", 5))).toStrictEqual([]);
    expect(bench.see(0, 6, held("a", 6))).toMatchObject([
      { type: "acquire", partition: 0, expectedRevision: 6 },
    ]);
    const leaving = new Bench();
    const [late] = leaving.settle(["a", "b"], [OTHERS[1]!]);
    leaving.give({ type: "stop" });
    expect(leaving.answer(late, { type: "unknown" })).toStrictEqual([]);
    const [release] = leaving.see(0, 5, held("a", 5));
    expect(release).toMatchObject({ type: "release", expectedRevision: 5, heir: "b" });
    expect(leaving.written(release, 6)).toStrictEqual([{ type: "stopped" }]);
  });

  test("moves nothing for a member that is there for less than the settling time", () => {
    const bench = new Bench().own();
    bench.wait(1_200);
    const effects = [...bench.give(team("a", "b")), ...bench.wait(900)];
    expect(types([...effects, ...bench.give(team("a")), ...bench.wait(800)])).not.toContain(
      "quiesce",
    );
  });

  test("aborts what has not finished in time when it hands over", () => {
    const bench = new Bench({ quiesceMs: 500 }).own();
    bench.give(team("a", "b"));
    const effects = bench.wait(1_600);
    expect(effects).toContainEqual(
      expect.objectContaining({ type: "drop", reason: "quiesce_timeout" }),
    );
  });

  test("that stops hands everything over and says when it is done", () => {
    const bench = new Bench().own();
    bench.give(team("a", "b"));
    expect(types(bench.give({ type: "stop" }))).toStrictEqual(["quiesce", "quiesce"]);
    for (const [partition, epoch] of [1, 2].entries()) {
      const effects = bench.give({ type: "quiesced", partition, epoch });
      expect(types(effects)).toStrictEqual(["drop", "release"]);
      expect(effects[1]).toMatchObject({ heir: "b", leaving: true });
      expect(types(bench.written(effects[1], 3 + partition))).toStrictEqual(
        partition === 1 ? ["stopped"] : [],
      );
    }
    expect(bench.wait(10_000)).toStrictEqual([]);
  });

  test("gives nothing back to one that leaves, even if the registry still has it", () => {
    const bench = new Bench();
    bench.settle(["a", "b"], OTHERS);
    for (const partition of [0, 1]) {
      const record = released("b", partition + 1, "a", true);
      const [acquisition] = bench.see(partition, partition + 3, record);
      bench.written(acquisition, partition + 5);
    }
    expect(types(bench.wait(2_500))).not.toContain("quiesce");
  });

  test("keeps what it has just got until the others had time to see the same", () => {
    const bench = new Bench();
    bench.settle(["a", "b"], OTHERS);
    const other = bench.machine.status().find(({ target }) => target === "b")!.partition;
    for (const partition of [other, 1 - other]) {
      const [acquisition] = bench.see(partition, partition + 3, released("b", partition + 1, "a"));
      bench.written(acquisition, partition + 5);
    }
    expect(types(bench.wait(900))).not.toContain("quiesce");
    expect(types(bench.wait(100))).toContain("quiesce");
  });

  test("that has nothing stops at once", () => {
    expect(new Bench().give({ type: "stop" })).toStrictEqual([{ type: "stopped" }]);
  });

  test("ignores answers and reports that belong to what is over", () => {
    const bench = new Bench().own();
    const [renewal] = bench.wait(1_000);
    bench.see(0, 9, held("b", 9));
    expect(bench.written(renewal, 3)).toStrictEqual([]);
    expect(bench.give({ type: "quiesced", partition: 0, epoch: 1 })).toStrictEqual([]);
    expect(bench.see(0, 4, released("b", 4, "a"))).toStrictEqual([]); // older than what it knows
    expect(bench.epochs()[0]).toBeUndefined();
  });

  test("takes the answer to a write that is over for nothing else", () => {
    const bench = new Bench().own();
    const [renewal] = bench.wait(1_000);
    const [dropped, acquisition] = bench
      .wait(2_000)
      .filter((one) => "partition" in one && one.partition === 0);
    expect(types([dropped!, acquisition!])).toStrictEqual(["drop", "acquire"]);
    expect(bench.written(renewal, 3)).toStrictEqual([]);
    expect(bench.epochs()[0]).toBeUndefined();
    expect(bench.written(acquisition, 4)).toStrictEqual([
      { type: "start", partition: 0, epoch: 4 },
    ]);
  });

  test("takes what nobody has when the one whose turn it is does not come", () => {
    const bench = new Bench();
    const [own] = bench.settle(["a", "b"]); // b never acquires its own
    bench.written(own, 1);
    const other = bench.machine.status().find(({ target }) => target === "b")!.partition;
    const acquisition = expect.objectContaining({ type: "acquire", partition: other });
    // A lease's time since it was seen first, the margin, and an eighth of that time for b.
    expect(bench.wait(2_500)).not.toContainEqual(acquisition);
    expect(bench.wait(100)).toContainEqual(acquisition);
  });

  test("tells who has and who should have each partition", () => {
    const bench = new Bench();
    bench.settle(["a", "b"], OTHERS);
    const [first, second] = bench.machine.status();
    expect([first!.holder, second!.holder]).toStrictEqual(["b", "b"]);
    expect(new Set([first!.target, second!.target])).toStrictEqual(new Set(["a", "b"]));
    expect(first).toMatchObject({ partition: 0, claim: "none", epoch: 1 });
  });
});

test("a configuration that makes no sense is refused", () => {
  const self = { id: "a", weight: 1 };
  for (const wrong of [
    { partitions: 0 },
    { partitions: 1.5 },
    { capacityFactor: 0.5 },
    { ttlMs: 0 },
    { renewMs: 5_000 },
    { marginMs: -1 },
    { settleMs: Number.NaN },
  ]) {
    expect(() => shardConfig({ self, ...wrong })).toThrow(
      expect.objectContaining({ code: "INVALID_CONTRACT" }),
    );
  }
});
