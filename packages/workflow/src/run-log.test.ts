import { expect, test } from "vitest";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";
import { RunLog } from "./run-log.ts";

const record = (text: string): Uint8Array[] => [Buffer.from(text)];

test("a log that is closed lets what is being written end, and writes nothing more", async () => {
  const store = new MemoryCheckpointer();
  const owned = await store.own("t");
  const written = Promise.withResolvers<void>();
  const order: string[] = [];
  const { signal, position } = owned;
  const slow = {
    signal,
    position,
    async append(records: readonly Uint8Array[]) {
      await written.promise;
      await owned.append(records);
      order.push("written");
    },
    snapshot: owned.snapshot.bind(owned),
    [Symbol.asyncDispose]: owned[Symbol.asyncDispose].bind(owned),
  };
  const stored = await store.read("t");
  const log = new RunLog(slow, { mode: "async", now: () => 0, preface: undefined, stored });
  log.add(record("first")); // is being written
  log.add(record("second"));
  const closed = log.close().then(() => order.push("closed"));
  log.add(record("third"));
  await new Promise(setImmediate);
  expect(order).toEqual([]);
  written.resolve();
  await closed;
  expect(order).toEqual(["written", "closed"]);
  await expect(log.stored()).rejects.toMatchObject({ code: "CANCELED" });
  const { records } = await store.read("t");
  expect(records.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(["first"]);
});
