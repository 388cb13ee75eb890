import { describe, expect, test } from "vitest";
import { Membership } from "./shard-membership.ts";

const TIMING = { settleMs: 1_000, settleMaxMs: 5_000, seasonMs: 3_000, silentMs: 15_000 };

const team = (ids: string): { id: string; weight: number }[] =>
  ids.split("").map((id) => ({ id, weight: 1 }));

const idsOf = (members: readonly { id: string }[]): string => members.map(({ id }) => id).join("");

/** A membership as `a` sees it, that has settled on these at time 1,000. */
function settled(ids: string): Membership {
  const membership = new Membership({ id: "a", weight: 1 }, TIMING);
  membership.update(team(ids), 0);
  membership.tick(1_000);
  expect(idsOf(membership.counted())).toBe(ids);
  return membership;
}

describe("a membership", () => {
  test("counts nobody until it has settled, so that the first to start does not take everything", () => {
    const membership = new Membership({ id: "a", weight: 1 }, TIMING);
    expect(idsOf(membership.counted())).toBe("");
    membership.update(team("a"), 0);
    membership.update(team("ab"), 900);
    membership.tick(1_800);
    expect(idsOf(membership.counted())).toBe("");
    membership.tick(1_900);
    expect(idsOf(membership.counted())).toBe("ab");
  });

  test("counts one that joins when nothing has changed for a while", () => {
    const membership = settled("ab");
    membership.update(team("abc"), 2_000);
    membership.tick(2_999);
    expect(idsOf(membership.counted())).toBe("ab");
    expect(idsOf(membership.trusted())).toBe("abc");
    expect(membership.calm).toBe(false);
    membership.tick(3_000);
    expect(idsOf(membership.counted())).toBe("abc");
    expect(membership.calm).toBe(true);
  });

  test("counts one that joins in the end, however others come and go", () => {
    const membership = settled("ab");
    for (let now = 2_000; now < 7_000; now += 500) {
      membership.update(team(now % 1_000 === 0 ? "abc" : "abcd"), now);
      membership.tick(now);
      expect(idsOf(membership.counted())).toBe("ab");
    }
    membership.tick(7_000);
    expect(membership.counted().map(({ id }) => id)).toContain("c");
  });

  test("forgets one that leaves at once", () => {
    const membership = settled("abc");
    membership.update(team("ab"), 2_000);
    expect(idsOf(membership.counted())).toBe("ab");
  });

  test("is as before when one that left is back before it has settled", () => {
    const membership = settled("abc");
    membership.update(team("ab"), 2_000);
    membership.update(team("abc"), 2_500);
    expect(idsOf(membership.counted())).toBe("abc");
    expect(membership.calm).toBe(true);
  });

  test("takes a changed weight for a change", () => {
    const membership = settled("ab");
    membership.update([...team("a"), { id: "b", weight: 2 }], 2_000);
    expect(membership.counted()[1]!.weight).toBe(1);
    membership.tick(3_000);
    expect(membership.counted()[1]!.weight).toBe(2);
  });

  test("always has the process itself in it, with its own weight unless the registry knows better", () => {
    const membership = settled("ab");
    membership.update(team("b"), 2_000);
    expect(idsOf(membership.counted())).toBe("ab");
  });

  test("leaves a silent one out until it is heard of, leaves, or long enough has passed", () => {
    const heard = settled("abc");
    heard.blame("b", 2_000);
    expect(idsOf(heard.counted())).toBe("ac");
    expect(heard.trusts("b")).toBe(false);
    heard.heard("b");
    expect(idsOf(heard.counted())).toBe("abc");

    const back = settled("abc");
    back.blame("b", 2_000);
    back.update(team("ac"), 3_000);
    back.update(team("abc"), 3_100);
    expect(idsOf(back.counted())).toBe("abc");

    const waited = settled("abc");
    waited.blame("b", 2_000);
    waited.tick(16_999);
    expect(idsOf(waited.counted())).toBe("ac");
    waited.tick(17_000);
    expect(idsOf(waited.counted())).toBe("abc");
  });

  test("never holds silence against itself, nor against strangers", () => {
    const membership = settled("ab");
    const { version } = membership;
    membership.blame("a", 2_000);
    membership.blame("x", 2_000);
    expect(idsOf(membership.counted())).toBe("ab");
    expect(membership.version).toBe(version);
  });

  test("names as heirs all others that are there, settled or not, but not the silent", () => {
    const membership = settled("abc");
    membership.update(team("abcd"), 2_000);
    membership.blame("b", 2_000);
    expect(idsOf(membership.others())).toBe("cd");
  });

  test("has a new version exactly when something about it changes", () => {
    const membership = settled("ab");
    membership.tick(3_000);
    const { version } = membership;
    membership.update(team("ba"), 4_000);
    membership.tick(9_000);
    membership.heard("b");
    expect(membership.version).toBe(version);
    membership.update(team("abc"), 9_000);
    expect(membership.version).toBeGreaterThan(version);
  });

  test("knows who has been there for long enough to see a lease run out, or else takes everybody", () => {
    const membership = settled("ab");
    expect(idsOf(membership.seasoned())).toBe("ab");
    membership.update(team("abc"), 2_500);
    membership.tick(3_000);
    expect(idsOf(membership.seasoned())).toBe("ab");
    const { version } = membership;
    membership.tick(5_500);
    expect(idsOf(membership.seasoned())).toBe("abc");
    expect(membership.version).toBeGreaterThan(version);
    membership.update(team("ab"), 6_000);
    membership.update(team("abc"), 6_100); // another process of that name would be as new
    expect(idsOf(membership.seasoned())).toBe("ab");
  });
});
