import { describe, expect, test } from "vitest";
import { z } from "zod";
import { MeshError } from "./errors.ts";
import { partitionOf } from "./partition.ts";
import { partitionSubject, topic, topicPartition, topicPattern, topicSubject } from "./topic.ts";

const Fill = z.object({ account: z.string(), n: z.number() });
const Fills = topic("fills.{account}", { schema: Fill, durable: { partitions: 4 } });
const Keyed = topic("keyed", {
  schema: Fill,
  durable: { partitions: 16, keep: "1d", maxBytes: 1e9, dedupe: "1h" },
  key: ({ account }) => account,
});

function code(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof MeshError) return error.code;
    throw error;
  }
  return "nothing was thrown";
}

describe("a durable topic", () => {
  test("has defaults, and takes options", () => {
    expect(topic("a", { schema: z.any(), durable: true }).durable).toEqual({
      partitions: 1,
      keepMs: 7 * 86_400_000,
      maxBytes: undefined,
      dedupeMs: 120_000,
    });
    expect(Keyed.durable).toEqual({
      partitions: 16,
      keepMs: 86_400_000,
      maxBytes: 1e9,
      dedupeMs: 3_600_000,
    });
    expect(topic("a", { schema: z.any() }).durable).toBeUndefined();
  });

  test("remembers ids no longer than it keeps events", () => {
    const short = topic("a", { schema: z.any(), durable: { keep: "30s" } });
    expect(short.durable?.dedupeMs).toBe(30_000);
  });

  test.each<[unknown]>([
    [false],
    [null],
    ["yes"],
    [{ partitions: 0 }],
    [{ partitions: 1.5 }],
    [{ partitions: 257 }],
    [{ keep: 10 }],
    [{ keep: "soon" }],
    [{ maxBytes: 0 }],
    [{ dedupe: 1 }],
    [{ keep: "1h", dedupe: "2h" }],
  ])("%j is no way to store events", (durable) => {
    expect(code(() => topic("a", { schema: z.any(), durable: durable as true }))).toBe(
      "INVALID_CONTRACT",
    );
  });

  test("alone has a key", () => {
    expect(code(() => topic("a", { schema: z.any(), key: () => "x" }))).toBe("INVALID_CONTRACT");
    expect(code(() => topic("a", { schema: z.any(), durable: true, key: "x" as never }))).toBe(
      "INVALID_CONTRACT",
    );
  });
});

describe("the partition of an event", () => {
  test("is its key's: the one given, else the contract's, else its parameters'", () => {
    const fill = { account: "a/b", n: 1 };
    const subject = topicSubject(Fills, fill);
    expect(topicPartition(Fills, fill, subject)).toBe(partitionOf("fills.a=2Fb", 4));
    expect(topicPartition(Fills, fill, subject, "other")).toBe(partitionOf("other", 4));
    expect(topicPartition(Keyed, fill, "keyed")).toBe(partitionOf("a/b", 16));
    const one = topic("one", { schema: Fill, durable: true, key: () => "x" });
    expect(topicPartition(one, fill, "one")).toBe(0);
  });

  test("does not change between versions: these are stored", () => {
    const keys = ["", "AAPL", "account-1", "BRK.B", "é"];
    expect(keys.map((key) => partitionOf(key, 16))).toMatchInlineSnapshot(`
      [
        0,
        6,
        0,
        0,
        15,
      ]
    `);
  });

  test("must come from a string", () => {
    const numeric = topic("a", {
      schema: Fill,
      durable: { partitions: 2 },
      key: (({ n }: { n: number }) => n) as never,
    });
    expect(code(() => topicPartition(numeric, { account: "a", n: 1 }, "a"))).toBe("INVALID_INPUT");
  });

  test("is the last token of its subject, if there are several", () => {
    expect(partitionSubject(Fills, "fills.A", 3)).toBe("fills.A.p3");
    expect(topicPattern(Fills)).toBe("fills.*.*");
    expect(topicPattern(Fills, { account: "A" })).toBe("fills.A.*");
    const one = topic("one", { schema: Fill, durable: true });
    expect(partitionSubject(one, "one", 0)).toBe("one");
    expect(topicPattern(one)).toBe("one");
  });
});
