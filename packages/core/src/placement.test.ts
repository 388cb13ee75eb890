import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Random } from "./clock.ts";
import {
  PLACEMENTS,
  createPlacement,
  peakEwma,
  type Candidate,
  type Placement,
  type PlacementName,
  type PlacementSpec,
} from "./placement.ts";

/** Mulberry32 (Tommy Ettinger, public domain). */
function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function candidate(id: string, figures: Partial<Candidate> = {}): Candidate {
  return { id, weight: 1, outstanding: 0, others: 0, ewmaMs: 0, ...figures };
}

function picks(placement: Placement, candidates: readonly Candidate[], count: number): string[] {
  const random = seeded(1);
  return Array.from({ length: count }, (_, i) => placement.pick(candidates, `key-${i}`, random).id);
}

function countsOf(ids: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const id of ids) counts[id] = (counts[id] ?? 0) + 1;
  return counts;
}

const weighted = (weights: Record<string, number>): Candidate[] =>
  Object.entries(weights).map(([id, weight]) => candidate(id, { weight }));

/** How often each of two candidates with these figures is picked, of a hundred times. */
const duel = (
  name: PlacementName,
  a: Partial<Candidate>,
  b: Partial<Candidate>,
): Record<string, number> =>
  countsOf(picks(createPlacement(name), [candidate("a", a), candidate("b", b)], 100));

const atRandom = (servers: readonly Candidate[], random: Random): Candidate =>
  servers[Math.floor(random() * servers.length)]!;

const trio = (): Candidate[] => ["a", "b", "c"].map((id) => candidate(id));

describe("every placement", () => {
  test.each(PLACEMENTS)("%s knows its name and picks the only candidate there is", (name) => {
    const placement = createPlacement(name);
    const only = candidate("only", { outstanding: 100, others: 5, ewmaMs: 1e6 });
    expect(placement.name).toBe(name);
    expect(placement.pick([only], "key", Math.random)).toBe(only);
  });

  test.each(PLACEMENTS)("%s spreads calls over idle equals", (name) => {
    const counts = countsOf(picks(createPlacement(name), trio(), 3_000));
    for (const id of ["a", "b", "c"]) {
      expect(counts[id]).toBeGreaterThan(700);
      expect(counts[id]).toBeLessThan(1_300);
    }
  });

  test.each(PLACEMENTS)(
    "%s always picks one of the candidates, whatever their figures and weights",
    (name) => {
      const figure = fc.oneof(fc.nat(5), fc.constantFrom(0, -1, Number.NaN, Infinity));
      const anyCandidates = fc.uniqueArray(
        fc.record({
          id: fc.string(),
          weight: figure,
          outstanding: figure,
          others: figure,
          ewmaMs: figure,
        }),
        { selector: ({ id }) => id, minLength: 1, maxLength: 5 },
      );
      fc.assert(
        fc.property(
          fc.array(anyCandidates, { minLength: 1, maxLength: 3 }),
          fc.string(),
          fc.nat(),
          (memberships, key, seed) => {
            const placement = createPlacement(name);
            const random = seeded(seed);
            for (const candidates of memberships) {
              for (let i = 0; i < 5; i++) {
                expect(candidates).toContain(placement.pick(candidates, key, random));
              }
            }
          },
        ),
        { numRuns: 100 },
      );
    },
  );

  test.each(PLACEMENTS)("%s never picks one that has left", (name) => {
    const placement = createPlacement(name);
    const all = trio();
    picks(placement, all, 10);
    expect(countsOf(picks(placement, all.slice(0, 2), 100))).not.toHaveProperty("c");
  });

  test.each<[unknown]>([["random"], [""], ["constructor"], [{ strategy: "fastest" }], [{}], [5]])(
    "%j is no placement",
    (spec) => {
      expect(() => createPlacement(spec as PlacementName)).toThrow(
        expect.objectContaining({
          code: "INVALID_CONTRACT",
          message: expect.stringMatching(/use roundRobin, weightedRoundRobin/) as string,
        }) as Error,
      );
    },
  );
});

describe("roundRobin", () => {
  test("takes turns, beginning anywhere", () => {
    const starts = new Set<string>();
    for (let seed = 0; seed < 50; seed++) {
      const placement = createPlacement("roundRobin");
      const random = seeded(seed);
      const all = trio();
      const order = Array.from({ length: 6 }, () => placement.pick(all, undefined, random).id).join(
        "",
      );
      starts.add(order);
      expect("abcabcabc").toContain(order);
    }
    expect(starts.size).toBe(3);
  });
});

describe("weightedRoundRobin", () => {
  test("spreads 5, 1, 1 as nginx does", () => {
    const all = weighted({ a: 5, b: 1, c: 1 });
    expect(picks(createPlacement("weightedRoundRobin"), all, 14).join(" ")).toBe(
      "a a b a c a a a a b a c a a",
    );
  });

  test("gives each exactly its share in every round, whatever the weights", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
        (weights) => {
          const all = weights.map((weight, i) => candidate(String(i), { weight }));
          const round = weights.reduce((sum, weight) => sum + weight, 0);
          const counts = countsOf(picks(createPlacement("weightedRoundRobin"), all, round * 3));
          expect(counts).toStrictEqual(
            Object.fromEntries(weights.map((weight, i) => [String(i), weight * 3])),
          );
        },
      ),
    );
  });

  test("goes on smoothly when the membership changes, and a newcomer gets no burst", () => {
    const placement = createPlacement("weightedRoundRobin");
    picks(placement, weighted({ a: 1, b: 1 }), 101);
    const after = picks(placement, weighted({ a: 1, b: 1, c: 1 }), 9);
    expect(countsOf(after)).toStrictEqual({ a: 3, b: 3, c: 3 });
    expect(after.join("")).not.toMatch(/(.)\1/);
  });
});

describe("leastOutstanding", () => {
  test("prefers the one with fewer calls under way, those of other callers included", () => {
    expect(duel("leastOutstanding", { outstanding: 5 }, { outstanding: 4 })).toStrictEqual({
      b: 100,
    });
    expect(
      duel("leastOutstanding", { outstanding: 1, others: 9 }, { outstanding: 4 }),
    ).toStrictEqual({ b: 100 });
  });

  test("counts a call on a heavier instance as less", () => {
    expect(
      duel("leastOutstanding", { outstanding: 5, weight: 2 }, { outstanding: 3 }),
    ).toStrictEqual({ a: 100 });
  });

  test("never picks the most loaded of three", () => {
    const all = [candidate("a", { outstanding: 9 }), candidate("b"), candidate("c")];
    expect(countsOf(picks(createPlacement("leastOutstanding"), all, 300))).not.toHaveProperty("a");
  });
});

describe("peakEwma", () => {
  test("prefers the faster, and the slower once the faster is loaded enough", () => {
    expect(duel("peakEwma", { ewmaMs: 50 }, { ewmaMs: 10 })).toStrictEqual({ b: 100 });
    expect(duel("peakEwma", { ewmaMs: 50 }, { ewmaMs: 10, outstanding: 5 })).toStrictEqual({
      a: 100,
    });
    expect(duel("peakEwma", { ewmaMs: 50 }, { ewmaMs: 10, others: 5 })).toStrictEqual({ a: 100 });
    expect(duel("peakEwma", { ewmaMs: 30, weight: 4 }, { ewmaMs: 10 })).toStrictEqual({ a: 100 });
  });

  test("tries a new instance at once, but does not flood it before it has answered", () => {
    const fresh = candidate("new");
    const all = [fresh, ...["a", "b", "c"].map((id) => candidate(id, { ewmaMs: 10 }))];
    const placement = createPlacement("peakEwma");
    const random = seeded(3);
    for (let i = 0; i < 1_000; i++) {
      const chosen = placement.pick(all, undefined, random);
      if (chosen === fresh) chosen.outstanding++;
    }
    expect(fresh.outstanding).toBe(1);
  });
});

describe("the moving average of peakEwma", () => {
  test("takes a slower answer in full and wins a faster one back over ten seconds", () => {
    expect(peakEwma(0, 5, 0)).toBe(5);
    expect(peakEwma(5, 80, 1)).toBe(80);
    expect(peakEwma(80, 5, 0)).toBe(80);
    expect(peakEwma(80, 5, 10_000)).toBeCloseTo(5 + 75 / Math.E, 6);
    expect(peakEwma(80, 5, 1e9)).toBe(5);
  });

  test("stays between what it was and what is observed, also when the clock steps back", () => {
    const ms = fc.double({ min: 0, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(
        ms,
        ms,
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        (previous, observed, elapsed) => {
          const next = peakEwma(previous, observed, elapsed);
          expect(next).toBeGreaterThanOrEqual(observed - 1e-9);
          expect(next).toBeLessThanOrEqual(Math.max(previous, observed) + 1e-9);
        },
      ),
    );
  });
});

describe("consistentHash", () => {
  const strict: PlacementSpec = { strategy: "consistentHash", loadFactor: Infinity };

  test("sends equal keys to one instance while the load allows", () => {
    const placement = createPlacement("consistentHash");
    const all = ["a", "b", "c", "d"].map((id) => candidate(id));
    const owners = new Map<string, string>();
    for (let i = 0; i < 1_000; i++) {
      const key = `key-${i % 50}`;
      const { id } = placement.pick(all, key, Math.random);
      expect(owners.get(key) ?? id).toBe(id);
      owners.set(key, id);
    }
    expect(new Set(owners.values()).size).toBe(4);
  });

  test("callers agree on the owner, whatever the order in which they know the instances", () => {
    const all = ["a", "b", "c", "d"].map((id) => candidate(id));
    const [one, other] = [createPlacement(strict), createPlacement(strict)];
    for (let i = 0; i < 200; i++) {
      const key = `key-${i}`;
      expect(one.pick(all, key, Math.random).id).toBe(
        other.pick(all.toReversed(), key, Math.random).id,
      );
    }
  });

  test("no instance ever takes more than loadFactor times the mean, even if every call has the same key", () => {
    const member = fc.record({ weight: fc.constantFrom(0.5, 1, 1, 2), calls: fc.nat(20) });
    fc.assert(
      fc.property(
        fc.array(member, { minLength: 1, maxLength: 8 }),
        fc.constantFrom(1, 1.25, 2),
        fc.integer({ min: 1, max: 5 }),
        (members, loadFactor, keys) => {
          const all = members.map(({ weight }, i) => candidate(String(i), { weight }));
          const weights = all.reduce((sum, { weight }) => sum + weight, 0);
          const placement = createPlacement({ strategy: "consistentHash", loadFactor });
          for (let total = 1; total <= 100; total++) {
            const chosen = placement.pick(all, `key-${total % keys}`, Math.random);
            chosen.outstanding++;
            expect(chosen.outstanding).toBeLessThanOrEqual(
              Math.ceil((loadFactor * total * chosen.weight) / weights),
            );
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  test("four equals under one hot key: none above ceil(1.25 × mean)", () => {
    const all = ["a", "b", "c", "d"].map((id) => candidate(id));
    const placement = createPlacement("consistentHash");
    for (let total = 1; total <= 1_000; total++) {
      placement.pick(all, "hot", Math.random).outstanding++;
      const bound = Math.ceil(1.25 * (total / 4));
      for (const { outstanding } of all) expect(outstanding).toBeLessThanOrEqual(bound);
    }
  });

  test("with an infinite bound a key stays with its owner under any load", () => {
    const all = trio();
    const placement = createPlacement(strict);
    const owner = placement.pick(all, "hot", Math.random);
    for (let i = 0; i < 100; i++) {
      owner.outstanding++;
      expect(placement.pick(all, "hot", Math.random)).toBe(owner);
    }
  });

  test("a call without a key is INVALID_CONTRACT", () => {
    expect(() => createPlacement("consistentHash").pick(trio(), undefined, Math.random)).toThrow(
      expect.objectContaining({
        code: "INVALID_CONTRACT",
        message: expect.stringMatching(/pass \{ key \}/) as string,
      }) as Error,
    );
  });

  test.each([0.99, 0, -1, Number.NaN])("a load factor of %d is INVALID_CONTRACT", (loadFactor) => {
    expect(() => createPlacement({ strategy: "consistentHash", loadFactor })).toThrow(
      expect.objectContaining({ code: "INVALID_CONTRACT" }) as Error,
    );
  });
});

interface Call {
  readonly arrivedMs: number;
  readonly server: Candidate;
  readonly endsMs: number;
}

/**
 * One caller, four servers that work on one call at a time, one of them ten times slower, calls at random times: the
 * 99th percentile of the time a call takes, in ms.
 */
function simulate(
  choose: (servers: readonly Candidate[], random: Random) => Candidate,
  seed: number,
): number {
  const random = seeded(seed);
  const servers = Array.from({ length: 4 }, (_, i) => candidate(String(i)));
  const observedMs = new Map<Candidate, number>();
  const freeMs = new Map<Candidate, number>();
  const measured = new Map<Candidate, number>();
  const underWay: Call[] = [];
  const took: number[] = [];
  let nowMs = 0;
  const finish = (call: Call): void => {
    const elapsed = call.endsMs - call.arrivedMs;
    const { server } = call;
    server.outstanding--;
    measured.set(
      server,
      peakEwma(measured.get(server) ?? 0, elapsed, call.endsMs - (observedMs.get(server) ?? 0)),
    );
    observedMs.set(server, call.endsMs);
    took.push(elapsed);
  };
  for (let i = 0; i < 5_000; i++) {
    nowMs += -Math.log(1 - random()) * 6; // 167 calls a second; the servers together manage 310
    for (const call of underWay
      .filter(({ endsMs }) => endsMs <= nowMs)
      .toSorted((a, b) => a.endsMs - b.endsMs)) {
      underWay.splice(underWay.indexOf(call), 1);
      finish(call);
    }
    for (const server of servers) {
      server.ewmaMs = peakEwma(measured.get(server) ?? 0, 0, nowMs - (observedMs.get(server) ?? 0));
    }
    const server = choose(servers, random);
    const workMs = (server.id === "0" ? 100 : 10) * (0.5 + random());
    const endsMs = Math.max(nowMs, freeMs.get(server) ?? 0) + workMs;
    freeMs.set(server, endsMs);
    server.outstanding++;
    underWay.push({ arrivedMs: nowMs, server, endsMs });
  }
  return took.toSorted((a, b) => a - b)[Math.floor(took.length * 0.99)]!;
}

describe("four servers, one of them ten times slower", () => {
  test.each(["leastOutstanding", "peakEwma"] as const)(
    "the 99th percentile under %s is at most a third of that under random choice",
    (name) => {
      for (let seed = 1; seed <= 3; seed++) {
        const placement = createPlacement(name);
        const placed = simulate(
          (servers, random) => placement.pick(servers, undefined, random),
          seed,
        );
        expect(simulate(atRandom, seed) / placed).toBeGreaterThan(3);
      }
    },
  );

  test("an instance that was slow once is tried again when its average has faded", () => {
    const placement = createPlacement("peakEwma");
    const all = [
      candidate("blip", { ewmaMs: 5_000 }),
      candidate("a", { ewmaMs: 5 }),
      candidate("b", { ewmaMs: 5 }),
    ];
    expect(countsOf(picks(placement, all, 1_000))).not.toHaveProperty("blip");
    all[0]!.ewmaMs = peakEwma(5_000, 0, 75_000);
    expect(countsOf(picks(placement, all, 1_000))["blip"]).toBeGreaterThan(300);
  });
});
