import { entity } from "@plexus/core";
import { expect, test, vi } from "vitest";
import { z } from "zod";
import { Account, hostAccounts } from "../../../test/support/account.ts";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";

vi.setConfig({ testTimeout: 60_000 });

const meshes = useMeshes();
const deposit = (cents: number) => ({ cents, note: `n${cents}` });

async function list<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

test("a key's past can be read by sequence and by time, whoever owns it and when nobody does", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const hosted = await hostAccounts(host);
  const ada = caller.get(Account, "ada");
  const times: Date[] = [];
  await inTurn(upTo(4), async (n) => {
    await ada.deposit(deposit(n + 1));
    await caller.get(Account, "bob").deposit(deposit(100));
    await new Promise((resolve) => setTimeout(resolve, 20));
    times.push(new Date());
    await new Promise((resolve) => setTimeout(resolve, 20));
  });
  expect(await ada.read()).toMatchObject({ cents: 10 }); // the owner answers: it has all that it has confirmed
  await hosted.drain();
  const events = await list(ada.history());
  expect(events.map(({ type, data }) => [type, data.cents])).toEqual(
    [1, 2, 3, 4].map((n) => ["deposited", n]),
  );
  expect(events[0]).toMatchObject({ key: "ada", index: 0, version: 1, by: hosted.info.instance });
  await inTurn(upTo(4), async (n) => {
    const { sequence } = events[n]!;
    const cents = ((n + 1) * (n + 2)) / 2;
    const moves = upTo(n + 1).map((i) => `n${i + 1}`);
    expect(await ada.at(sequence)).toEqual({ state: { cents, moves }, sequence });
    expect(await ada.at(times[n]!)).toEqual({ state: { cents, moves }, sequence });
  });
  const nothing = { state: { cents: 0, moves: [] }, sequence: 0 };
  expect(await ada.at(events[0]!.sequence - 1)).toEqual(nothing);
  expect(await ada.at(new Date(0))).toEqual(nothing);
  expect(await caller.get(Account, "nobody").at(new Date())).toEqual(nothing);
  const middle = { from: { sequence: events[1]!.sequence }, to: { sequence: events[2]!.sequence } };
  expect(await list(ada.history(middle))).toEqual(events.slice(1, 3));
  expect(await list(ada.history({ limit: 2 }))).toEqual(events.slice(0, 2));
  await expect(ada.at(Number.NaN)).rejects.toMatchObject({ code: "INVALID_INPUT" });
});

test("events of older versions are brought up wherever a key is folded", async () => {
  const base = {
    state: z.object({ cents: z.number() }),
    initial: { cents: 0 },
    commands: { add: { input: z.number(), output: z.number() } },
  };
  const Old = entity("purse", {
    ...base,
    events: { added: z.object({ euros: z.number() }) },
    fold: { added: ({ cents }, { euros }) => ({ cents: cents + euros * 100 }) },
  });
  const New = entity("purse", {
    ...base,
    events: {
      added: {
        version: 2,
        schema: z.object({ cents: z.number() }),
        upcast: { 1: ({ euros }: { euros: number }) => ({ cents: euros * 100 }) },
      },
    },
    fold: { added: (state, { cents }) => ({ cents: state.cents + cents }) },
  });
  const [mesh, caller] = [await meshes.join(), await meshes.join()];
  const old = await mesh.host(Old, {
    add: (euros, context) => {
      context.emit("added", { euros });
      return context.state.cents;
    },
  });
  expect(await caller.get(Old, "a").add(3)).toBe(300);
  await old.drain();
  await using _ = await mesh.host(New, {
    add: (cents, context) => {
      context.emit("added", { cents });
      return context.state.cents;
    },
  });
  expect(await caller.get(New, "a").add(5)).toBe(305);
  const events = await list(caller.get(New, "a").history());
  expect(events.map(({ version, data }) => [version, data.cents])).toEqual([
    [1, 300],
    [2, 5],
  ]);
  expect(await caller.get(New, "a").at(events[0]!.sequence)).toMatchObject({
    state: { cents: 300 },
  });
});
