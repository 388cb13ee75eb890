import { describe, expect, expectTypeOf, it } from "vitest";
import { z } from "zod";
import { describeEntity, entity, type Entity } from "./entity.ts";

const spec = {
  state: z.object({ cents: z.number().int() }),
  initial: { cents: 0 },
  events: { deposited: z.object({ cents: z.number().int() }) },
  fold: {
    deposited: (state: { cents: number }, event: { cents: number }) => ({
      cents: state.cents + event.cents,
    }),
  },
  commands: { deposit: { input: z.number().int().positive(), output: z.number() } },
};

describe("entity", () => {
  it("folds events into a state whose type its schema gives", () => {
    const Account = entity("account", {
      state: z.object({ cents: z.number().int() }),
      initial: { cents: 0 },
      events: { deposited: z.object({ cents: z.number().int() }) },
      fold: {
        deposited: (state, event) => {
          expectTypeOf(state).toEqualTypeOf<{ cents: number }>();
          expectTypeOf(event).toEqualTypeOf<{ cents: number }>();
          return { cents: state.cents + event.cents };
        },
      },
      commands: { deposit: { input: z.number().int().positive(), output: z.number() } },
    });
    expectTypeOf(Account).toExtend<Entity>();
    expect(Account.fold.deposited(Account.initial("a"), { cents: 5 })).toEqual({ cents: 5 });
    expect(Account.partitions).toBe(64);
  });

  it("begins with a state that may depend on the key", () => {
    const Named = entity("named", {
      state: z.object({ name: z.string(), visits: z.number().default(0) }),
      initial: (key) => ({ name: key }),
      events: {},
      fold: {},
      commands: { read: { input: z.void(), output: z.string() } },
    });
    expect(Named.initial("ada")).toEqual({ name: "ada", visits: 0 });
  });

  it.each([
    ["a name that is no token", "a.b", {}, /Agent name/],
    ["no command", "e", { commands: {} }, /no capability/],
    ["an event without a fold", "e", { fold: {} }, /no fold for event deposited/],
    [
      "a fold without an event",
      "e",
      { fold: { ...spec.fold, ghost: (state: unknown) => state } },
      /fold for no event: ghost/,
    ],
    ["a state that is no schema", "e", { state: {} }, /state is not a zod schema/],
    ["an event that is no schema", "e", { events: { deposited: {} } }, /deposited is not a zod/],
    ["an initial state of another shape", "e", { initial: { cents: "x" } }, /initial state/],
    ["no partition", "e", { partitions: 0 }, /partitions/],
    ["half a partition", "e", { partitions: 1.5 }, /partitions/],
    ["a version that is none", "e", { version: "new" }, /version/],
  ])("refuses %s", (_what, name, change, message) => {
    expect(() => entity(name, { ...spec, ...change } as typeof spec)).toThrow(
      expect.objectContaining({
        code: "INVALID_CONTRACT",
        message: expect.stringMatching(message) as string,
      }) as Error,
    );
  });

  it("describes its commands as an agent's capabilities", () => {
    const { name, capabilities } = describeEntity(entity("account", spec));
    expect(name).toBe("account");
    expect(capabilities["deposit"]).toMatchObject({ idempotent: true, input: { type: "integer" } });
  });
});
