import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, entity, partitionOf } from "@plexus/core";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { Account, accountHandlers, hostAccounts } from "../../../test/support/account.ts";
import { metric, upTo, useMeshes } from "../../../test/support/mesh.ts";
import { commandFields } from "./entity-record.ts";
import { envelopeBytes } from "./task-message.ts";

const meshes = useMeshes();

const deposit = (note: string, cents = 1) => ({ cents, note });

describe("a direct command", () => {
  test("changes the state of its key, and of no other", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh);
    const ada = mesh.get(Account, "ada");
    expect(await ada.deposit(deposit("a", 5))).toBe(5);
    expect(await ada.withdraw(deposit("b", 2))).toBe(3);
    expect(await ada.read()).toEqual({ cents: 3, moves: ["a", "b"] });
    expect(await mesh.get(Account, "bob").read()).toEqual({ cents: 0, moves: [] });
  });

  test("that fails records nothing and rejects with the handler's error", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh, {
      deposit: (input, context) => {
        context.emit("deposited", input);
        throw new MeshError("CONFLICT", "changed my mind", { retryable: false });
      },
    });
    const ada = mesh.get(Account, "ada");
    await expect(ada.deposit(deposit("a"))).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(ada.deposit({ cents: -1, note: "" })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    expect(await ada.read()).toEqual({ cents: 0, moves: [] });
  });

  test("with the id of an earlier one answers what that one did, and changes nothing", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh);
    const ada = mesh.get(Account, "ada");
    expect(await ada.deposit(deposit("a", 5), { id: "one" })).toBe(5);
    await ada.deposit(deposit("b", 5));
    expect(await ada.deposit(deposit("a", 5), { id: "one" })).toBe(5);
    expect((await ada.read()).moves).toEqual(["a", "b"]);
  });

  test("that is under way is joined by one with its id", async () => {
    const mesh = await meshes.join();
    const calls = vi.fn<() => void>();
    await hostAccounts(mesh, {
      deposit: async (input, context) => {
        calls();
        await sleep(50);
        context.emit("deposited", input);
        return context.state.cents;
      },
    });
    const ada = mesh.get(Account, "ada");
    const both = [1, 2].map(() => ada.deposit(deposit("a", 5), { id: "one" }));
    expect(await Promise.all(both)).toEqual([5, 5]);
    expect(calls).toHaveBeenCalledTimes(1);
  });

  test("waits for those of its key before it, and for no others", async () => {
    const mesh = await meshes.join();
    const running: string[] = [];
    await hostAccounts(mesh, {
      deposit: async (input, context) => {
        running.push(`+${context.key}`);
        await sleep(context.key === "slow" ? 200 : 0);
        running.push(`-${context.key}`);
        context.emit("deposited", input);
        return 0;
      },
    });
    await mesh.get(Account, "quick").read();
    const slow = [1, 2].map(() => mesh.get(Account, "slow").deposit(deposit("s")));
    await vi.waitFor(() => expect(running).toContain("+slow"));
    await mesh.get(Account, "quick").deposit(deposit("q"));
    expect(running).toEqual(["+slow", "+quick", "-quick"]);
    await Promise.all(slow);
    expect(running.slice(3)).toEqual(["-slow", "+slow", "-slow"]);
  });

  test("that finds no owner rejects with NO_AGENT when its time is over", async () => {
    const mesh = await meshes.join();
    await expect(
      mesh.get(Account, "ada").read(undefined, { timeout: "300ms" }),
    ).rejects.toMatchObject({ code: "NO_AGENT" });
  });

  test("that is called before anybody hosts waits for the first owner", async () => {
    const mesh = await meshes.join();
    const reading = mesh.get(Account, "ada").read();
    await sleep(100);
    await hostAccounts(await meshes.join());
    expect(await reading).toEqual({ cents: 0, moves: [] });
  });

  test("whose caller gives up fires its handler's signal and records nothing", async () => {
    const mesh = await meshes.join();
    const fired = Promise.withResolvers<unknown>();
    await hostAccounts(mesh, {
      deposit: (input, context) =>
        new Promise((_resolve, reject) => {
          context.emit("deposited", input);
          context.signal.addEventListener("abort", () => {
            fired.resolve(context.signal.reason);
            reject(new Error("stopped"));
          });
        }),
    });
    const ada = mesh.get(Account, "ada");
    await ada.read();
    const giveUp = new AbortController();
    const call = ada.deposit(deposit("a"), { signal: giveUp.signal });
    setTimeout(() => giveUp.abort(), 100);
    await expect(call).rejects.toMatchObject({ code: "CANCELED" });
    expect(await fired.promise).toMatchObject({ code: "CANCELED" });
    await expect(ada.deposit(deposit("b"), { timeout: "150ms" })).rejects.toMatchObject({
      code: expect.stringMatching(/TIMEOUT|DEADLINE_EXCEEDED/) as string,
    });
    expect((await ada.read()).moves).toEqual([]);
  });

  test("whose event cannot be recorded is refused, and leaves the state as it was", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh);
    const ada = mesh.get(Account, "ada");
    await ada.deposit(deposit("a"));
    const huge = "x".repeat(700_000); // as an input it fits, as input, event and answer of one message it does not
    const Echo = entity("echo", {
      state: z.string(),
      initial: "",
      events: { said: z.string() },
      fold: { said: (_state, text) => text },
      commands: { say: { input: z.string(), output: z.string() } },
    });
    await mesh.host(Echo, {
      say: (text, context) => {
        context.emit("said", text);
        return text;
      },
    });
    const echo = mesh.get(Echo, "e");
    await expect(echo.say(huge)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    expect(await echo.say("small")).toBe("small");
    expect((await ada.read()).moves).toEqual(["a"]);
  });

  test("may use any key and any id", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh);
    for (const key of ["", "a.b", "*", ">", "ä\n€", "x".repeat(200), "=e"]) {
      const account = mesh.get(Account, key);
      await account.deposit(deposit(key), { id: `${key}/1\r\n` });
      const sent = await account.deposit.send(deposit("sent"), { id: `${key}/2\r\n` });
      expect(await sent.result()).toBe(2);
      expect((await account.read()).moves).toEqual([key, "sent"]);
    }
    expect(() => mesh.get(Account, "\ud800")).toThrow(/key/);
    expect(() => mesh.get(Account, "x".repeat(1_025))).toThrow(/key/);
    await expect(mesh.get(Account, "a").read(undefined, { id: "" })).rejects.toThrow(/id/);
  });
});

describe("a durable command", () => {
  test("is executed once it is stored, in order, and its outcome can be asked for", async () => {
    const caller = await meshes.join();
    const ada = caller.get(Account, "ada");
    // Nobody hosts yet, and there is no stream: the first host or sender makes it.
    const sent = [];
    for (const note of ["a", "b", "c"]) {
      sent.push(await ada.deposit.send(deposit(note, 5)));
    }
    await hostAccounts(await meshes.join());
    expect(await Promise.all(sent.map((one) => one.result()))).toEqual([5, 10, 15]);
    expect((await ada.read()).moves).toEqual(["a", "b", "c"]);
  });

  test("keeps its place among those of its key, though nobody awaits them", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh);
    const ada = mesh.get(Account, "ada");
    const notes = upTo(200).map(String);
    await Promise.all(notes.map((note) => ada.deposit.send(deposit(note))));
    expect((await ada.read()).moves).toEqual(notes);
  });

  test("comes before a direct one that its sender makes afterwards", async () => {
    const mesh = await meshes.join();
    const host = await meshes.join();
    await hostAccounts(host, {
      deposit: async (input, context) => {
        await sleep(20);
        return accountHandlers.deposit(input, context);
      },
    });
    const ada = mesh.get(Account, "ada");
    for (const note of ["a", "b", "c"]) {
      await ada.deposit.send(deposit(note));
    }
    expect(await ada.deposit(deposit("d"))).toBe(4);
    expect((await ada.read()).moves).toEqual(["a", "b", "c", "d"]);
  });

  test("that is sent twice is executed once, by its id", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh);
    const ada = mesh.get(Account, "ada");
    const [one, two] = await Promise.all(
      [1, 2].map(() => ada.deposit.send(deposit("a", 5), { id: "same" })),
    );
    expect(await one!.result()).toBe(5);
    expect(await two!.result()).toBe(5);
    expect(await ada.deposit(deposit("a", 5), { id: "same" })).toBe(5);
    expect((await ada.read()).moves).toEqual(["a"]);
  });

  test("that fails is recorded with its error, and those behind it go on", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh);
    const ada = mesh.get(Account, "ada");
    const [failed, fine] = [
      await ada.withdraw.send(deposit("a", 5)),
      await ada.deposit.send(deposit("b", 5)),
    ];
    await expect(failed.result()).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(failed.result()).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await fine.result()).toBe(5);
    expect(
      await metric(mesh, "plexus_requests_total", { outcome: "CONFLICT", side: "server" }),
    ).toBe(1);
  });

  test("that fails with a retryable error is tried again", async () => {
    const mesh = await meshes.join();
    let attempts = 0;
    await hostAccounts(mesh, {
      deposit: (input, context) => {
        context.emit("deposited", input);
        if (++attempts < 3) throw new MeshError("OVERLOADED", "not yet");
        return context.state.cents;
      },
    });
    const sent = await mesh.get(Account, "ada").deposit.send(deposit("a", 5));
    expect(await sent.result()).toBe(5);
    expect(attempts).toBe(3);
  });

  test("that nobody can read is passed over", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh);
    const ada = mesh.get(Account, "ada");
    await ada.read();
    const stranger = await meshes.nats();
    const subject = `${meshes.name}.cmd.account.${partitionOf("ada", Account.partitions)}`;
    stranger.publish(subject, "not an envelope");
    await stranger.flush();
    const sent = await ada.deposit.send(deposit("a", 5));
    expect(await sent.result()).toBe(5);
    expect(await metric(mesh, "plexus_bad_messages_total", { code: "BAD_MESSAGE" })).toBe(1);
  });

  test("whose outcome nobody remembers rejects with NO_TASK", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh);
    const ada = mesh.get(Account, "ada");
    const sent = await ada.deposit.send(deposit("first"), { id: "first" });
    await sent.result();
    for (let i = 0; i < 1_300; i += 100) {
      // A window at a time.
      await Promise.all(upTo(100).map(() => ada.deposit(deposit("more"))));
    }
    await expect(sent.result()).rejects.toMatchObject({ code: "NO_TASK" });
  });
});

describe("the state of a key", () => {
  test("is folded from its events by whoever owns it next", async () => {
    const caller = await meshes.join();
    const ada = caller.get(Account, "ada");
    const first = await hostAccounts(await meshes.join());
    await ada.deposit(deposit("a", 5), { id: "one" });
    await first.drain();
    await hostAccounts(await meshes.join());
    expect(await ada.read()).toEqual({ cents: 5, moves: ["a"] });
    expect(await ada.deposit(deposit("a", 5), { id: "one" })).toBe(5);
    expect(await ada.deposit(deposit("b", 1))).toBe(6);
  });

  test("survives passivation", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh, {}, { passivateAfter: "200ms" });
    const ada = mesh.get(Account, "ada");
    const active = async (): Promise<number> => {
      await mesh.metrics.metrics(); // gauges are set when they are scraped
      return metric(mesh, "plexus_entity_keys_active");
    };
    await ada.deposit(deposit("a", 5));
    expect(await active()).toBe(1);
    await vi.waitFor(async () => expect(await active()).toBe(0), 5_000);
    expect(await ada.read()).toEqual({ cents: 5, moves: ["a"] });
  });

  test("is taken from a snapshot and what followed it", async () => {
    const caller = await meshes.join();
    const ada = caller.get(Account, "ada");
    const first = await hostAccounts(await meshes.join());
    const notes = upTo(600).map(String);
    await Promise.all(notes.map((note) => ada.deposit.send(deposit(note), { id: note })));
    const { cents } = await ada.read();
    expect(cents).toBe(600);
    await first.drain();
    const fold = vi.spyOn(Account.fold, "deposited");
    await hostAccounts(await meshes.join());
    expect((await ada.read()).moves).toEqual(notes);
    expect(fold.mock.calls.length).toBeLessThan(300);
    fold.mockRestore();
    expect(await ada.deposit(deposit("again"), { id: "599" })).toBe(600);
  });

  test("is read without passing over what other keys have recorded", async () => {
    const [caller, nats] = [await meshes.join(), await meshes.nats()];
    const first = await hostAccounts(await meshes.join());
    const notes = upTo(200).map(String);
    await Promise.all(
      notes.flatMap((note) =>
        ["ada", "bob"].map((key) => caller.get(Account, key).deposit.send(deposit(note))),
      ),
    );
    await Promise.all(["ada", "bob"].map((key) => caller.get(Account, key).read()));
    await first.drain();
    const asked: string[] = [];
    nats.subscribe(`$JS.API.DIRECT.GET.${meshes.name}-journal`, {
      callback: (_error, message) => void asked.push(message.string()),
    });
    await nats.flush();
    await hostAccounts(await meshes.join());
    expect((await caller.get(Account, "ada").read()).moves).toEqual(notes);
    await nats.flush();
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((query) => query.includes("next_by_subj"))).toEqual([]);
  });

  test("has every record, also those that do not tell of the one before", async () => {
    const [caller, nats] = [await meshes.join(), await meshes.nats()];
    const ada = caller.get(Account, "ada");
    const first = await hostAccounts(await meshes.join());
    await ada.deposit(deposit("a"));
    await first.drain();
    const events = [["deposited", deposit("b", 5)]] as const;
    const record = { id: "b", key: "ada", command: "deposit", epoch: 1, events };
    const fields = commandFields("somebody", undefined, { ...record, outcome: { output: 6 } });
    const subject = `${meshes.name}.log.account.${partitionOf("ada", Account.partitions)}.ada`;
    await nats.request(subject, envelopeBytes(fields));
    const second = await hostAccounts(await meshes.join());
    expect(await ada.deposit(deposit("c"))).toBe(7);
    await second.drain();
    await hostAccounts(await meshes.join());
    expect(await ada.read()).toEqual({ cents: 7, moves: ["a", "b", "c"] });
    expect(await ada.deposit(deposit("b", 5), { id: "b" })).toBe(6);
  });

  test("does not change by what a handler emits after it has ended", async () => {
    const mesh = await meshes.join();
    const late = Promise.withResolvers<unknown>();
    await hostAccounts(mesh, {
      deposit: (input, context) => {
        setTimeout(() => {
          try {
            context.emit("deposited", input);
            late.resolve(undefined);
          } catch (error) {
            late.resolve(error);
          }
        }, 10);
        return 0;
      },
    });
    const ada = mesh.get(Account, "ada");
    await ada.deposit(deposit("a"));
    expect(await late.promise).toMatchObject({ code: "CONFLICT" });
    expect((await ada.read()).moves).toEqual([]);
  });

  test("refuses an event outside its schema, or of no name that the contract knows", async () => {
    const mesh = await meshes.join();
    await hostAccounts(mesh, {
      deposit: (_input, context) => {
        context.emit("deposited", { cents: "many" } as never);
        return 0;
      },
      withdraw: (_input, context) => {
        context.emit("toString" as never, {} as never);
        return 0;
      },
    });
    const ada = mesh.get(Account, "ada");
    await expect(ada.deposit(deposit("a"))).rejects.toMatchObject({ code: "INVALID_INPUT" });
    await expect(ada.withdraw(deposit("a"))).rejects.toMatchObject({ code: "INVALID_CONTRACT" });
  });
});

describe("hosting an entity", () => {
  test("spreads the partitions over the instances and shows who owns them", async () => {
    const hosts = await Promise.all(upTo(4).map(() => meshes.join()));
    const hosted = await Promise.all(hosts.map((mesh) => hostAccounts(mesh)));
    const mesh = hosts[0]!;
    await vi.waitFor(async () => {
      const shards = await mesh.shards(Account);
      expect(shards).toHaveLength(8);
      expect(new Set(shards.map(({ owner }) => owner)).size).toBe(4);
    }, 90_000);
    const owners = (await mesh.shards("account")).map(({ owner }) => owner);
    const counts = hosted.map(({ info }) => owners.filter((one) => one === info.instance).length);
    expect(counts).toEqual([2, 2, 2, 2]);
    const shards = await mesh.shards();
    expect(new Set(shards.map(({ state }) => state))).toEqual(new Set(["held"]));
    expect(shards.map(({ partition }) => partition)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    await hosted[0]!.drain();
    const after = await mesh.shards();
    expect(after.map(({ owner }) => owner)).not.toContain(hosted[0]!.info.instance);
    const moved = after.filter((shard, i) => shard.owner !== shards[i]!.owner);
    expect(moved).toHaveLength(2);
    for (const shard of moved) expect(shard.from).toBe(hosted[0]!.info.instance);
  });

  test("with another number of partitions is refused", async () => {
    await hostAccounts(await meshes.join());
    const other = { ...Account, partitions: 16 };
    await expect((await meshes.join()).host(other, accountHandlers)).rejects.toMatchObject({
      code: "INVALID_CONTRACT",
    });
  });

  test("needs a handler for each command", async () => {
    const mesh = await meshes.join();
    const { read: _read, ...some } = accountHandlers;
    await expect(mesh.host(Account, some as typeof accountHandlers)).rejects.toThrow(/no handler/);
  });

  test("puts the instance into the registry, describes it, and drains it from afar", async () => {
    const mesh = await meshes.join();
    const { info } = await hostAccounts(await meshes.join());
    await mesh.waitFor(Account);
    expect(mesh.agents(Account).map(({ instance }) => instance)).toEqual([info.instance]);
    await mesh.get(Account, "ada").deposit(deposit("a"));
    const report = await mesh.inspect(info.instance);
    expect(report.description.capabilities["deposit"]).toMatchObject({ idempotent: true });
    expect(report.requests["deposit"]).toMatchObject({ ok: 1 });
    await mesh.drain(info.instance);
    await vi.waitFor(() => expect(mesh.agents(Account)).toEqual([]));
    await vi.waitFor(async () => {
      const states = (await mesh.shards()).map(({ state }) => state);
      expect(new Set(states)).toEqual(new Set(["free"]));
    });
  });
});
