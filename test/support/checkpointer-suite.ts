import { describe, expect, test } from "vitest";
import type { Checkpointer, OwnedThread } from "@plexus/workflow";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const stored = async (checkpointer: Checkpointer, range = {}) => {
  const { snapshot, records } = await checkpointer.read("t", range);
  return {
    snapshot: snapshot?.position,
    records: records.map(
      ({ position, bytes: one }) => `${position} ${Buffer.from(one).toString()}`,
    ),
  };
};

/** What every {@link Checkpointer} must do. `expire` ends a thread's ownership from outside, as the death of its owner does. */
export function describeCheckpointer(
  name: string,
  open: () => Checkpointer,
  expire: (checkpointer: Checkpointer, thread: string) => void | Promise<void>,
): void {
  // oxlint-disable-next-line vitest/valid-title -- the implementation that is tested
  describe(name, () => {
    test("knows nothing of a thread that nobody has owned", async () => {
      expect(await stored(open())).toEqual({ snapshot: undefined, records: [] });
    });

    test("keeps records in order, numbered from 1", async () => {
      const checkpointer = open();
      await using owned = await checkpointer.own("t");
      expect(owned.position).toBe(0);
      await owned.append([bytes("a"), bytes("b")]);
      await owned.append([bytes("c")]);
      expect(owned.position).toBe(3);
      expect(await stored(checkpointer)).toEqual({
        snapshot: undefined,
        records: ["1 a", "2 b", "3 c"],
      });
      expect((await stored(checkpointer, { upTo: 2 })).records).toEqual(["1 a", "2 b"]);
    });

    test("begins reading at the newest snapshot in range, or with the first record", async () => {
      const checkpointer = open();
      await using owned = await checkpointer.own("t");
      await owned.append([bytes("a"), bytes("b")]);
      await owned.snapshot(1, [bytes("one")]);
      await owned.append([bytes("c")]);
      await owned.snapshot(3, [bytes("th"), bytes("ree")]);
      await owned.append([bytes("d")]);
      expect(await stored(checkpointer)).toEqual({ snapshot: 3, records: ["4 d"] });
      expect(await stored(checkpointer, { upTo: 2 })).toEqual({ snapshot: 1, records: ["2 b"] });
      expect(await stored(checkpointer, { whole: true })).toEqual({
        snapshot: undefined,
        records: ["1 a", "2 b", "3 c", "4 d"],
      });
      const { snapshot } = await checkpointer.read("t");
      expect(Buffer.concat(snapshot!.parts).toString()).toBe("three");
    });

    test("counts a snapshot before the first record as the beginning", async () => {
      const checkpointer = open();
      await using owned = await checkpointer.own("t");
      await owned.snapshot(0, [bytes("zero")]);
      await owned.append([bytes("a")]);
      expect(await stored(checkpointer, { whole: true })).toEqual({
        snapshot: 0,
        records: ["1 a"],
      });
    });

    test("gives a thread to one owner at a time, and to the next one when it is given back", async () => {
      const checkpointer = open();
      const first = await checkpointer.own("t");
      await expect(checkpointer.own("t")).rejects.toMatchObject({ code: "CONFLICT" });
      await using other = await checkpointer.own("u");
      expect(other.position).toBe(0);
      await first.append([bytes("a")]);
      await first[Symbol.asyncDispose]();
      await using second = await checkpointer.own("t");
      expect(second.position).toBe(1);
    });

    test("lets an owner that has been replaced write nothing, and tells it", async () => {
      const checkpointer = open();
      const dead: OwnedThread = await checkpointer.own("t");
      await dead.append([bytes("a")]);
      await expire(checkpointer, "t");
      await using alive = await checkpointer.own("t");
      await expect(dead.append([bytes("late")])).rejects.toMatchObject({ code: "FENCED" });
      await expect(dead.snapshot(1, [bytes("late")])).rejects.toMatchObject({ code: "FENCED" });
      expect(dead.signal.aborted).toBe(true);
      await alive.append([bytes("b")]);
      await dead[Symbol.asyncDispose]();
      await alive.append([bytes("c")]);
      expect(await stored(checkpointer)).toEqual({
        snapshot: undefined,
        records: ["1 a", "2 b", "3 c"],
      });
    });

    test("lists its threads", async () => {
      const checkpointer = open();
      for (const thread of ["t", "u"]) {
        await using owned = await checkpointer.own(thread);
        await owned.append([bytes("a")]);
      }
      await (await checkpointer.own("nothing is stored of it"))[Symbol.asyncDispose]();
      const threads: string[] = [];
      for await (const thread of checkpointer.list()) threads.push(thread);
      expect(threads.toSorted()).toEqual(["t", "u"]);
    });

    test("owns nothing for a caller that has given up", async () => {
      const checkpointer = open();
      const signal = AbortSignal.abort();
      await expect(checkpointer.own("t", { signal })).rejects.toThrow("aborted");
      await using owned = await checkpointer.own("t");
      expect(owned.position).toBe(0);
    });
  });
}
