import { describe, expect, test } from "vitest";
import { z } from "zod";
import { append } from "./channel.ts";
import { Command, END, START, Send } from "./command.ts";
import type { NodeContext } from "./context.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

const channels = { log: append(z.string()) };
const thread = "t";

/** A graph of one node that waits, compiled anew by each "process". */
function processes(node: (context: NodeContext) => unknown, options: { now?: () => number } = {}) {
  const checkpointer = new MemoryCheckpointer();
  return () =>
    new StateGraph(channels)
      .addNode("wait", async (_, context) => ({ log: [JSON.stringify(await node(context))] }))
      .addEdge(START, "wait")
      .addEdge("wait", END)
      .compile({ checkpointer, ...options });
}

describe("an interrupt", () => {
  test("gives the process up, and is answered in another one", async () => {
    const open = processes((ctx) => ctx.interrupt<string>({ question: "go on?" }));
    const asked = await open().invoke({ log: ["begun"] }, { thread });
    expect(asked).toMatchObject({
      status: "waiting",
      output: { log: ["begun"] },
      interrupts: [{ node: "wait", value: { question: "go on?" } }],
    });
    const answered = await open().invoke(new Command({ resume: "yes" }), { thread });
    expect(answered).toMatchObject({ status: "completed", output: { log: ["begun", '"yes"'] } });
  });

  test("stays open when its schema does not take the answer, and tells why", async () => {
    const open = processes((ctx) => ctx.interrupt("how many?", z.number().int()));
    await open().invoke({}, { thread });
    const refused = await open().invoke(new Command({ resume: "many" }), { thread });
    expect(refused.interrupts).toEqual([
      { id: "1:0", node: "wait", value: "how many?", problem: expect.stringContaining("number") },
    ]);
    const { output } = await open().invoke(new Command({ resume: 3 }), { thread });
    expect(output.log).toEqual(["3"]);
  });

  test("follows another one: answers are given in the order of the questions", async () => {
    const open = processes((ctx) => [ctx.interrupt("name?"), ctx.interrupt("age?")]);
    await open().invoke({}, { thread });
    const second = await open().invoke(new Command({ resume: "Ada" }), { thread });
    expect(second.interrupts.map(({ value }) => value)).toEqual(["age?"]);
    const { output } = await open().invoke(new Command({ resume: 36 }), { thread });
    expect(output.log).toEqual(['["Ada",36]']);
  });

  test("cannot be swallowed by a node that catches everything", async () => {
    const open = processes((ctx) => {
      try {
        return ctx.interrupt("really?");
      } catch {
        return "swallowed";
      }
    });
    expect((await open().invoke({}, { thread })).status).toBe("waiting");
    const { output } = await open().invoke(new Command({ resume: true }), { thread });
    expect(output.log).toEqual(["true"]);
  });

  test("in several branches is answered by id, in any order; the others stay open", async () => {
    const graph = new StateGraph(channels)
      .addNode("ask", (item: unknown, ctx) => ({
        log: [`${String(item)}: ${String(ctx.interrupt(item))}`],
      }))
      .addConditionalEdges(START, () => ["a", "b"].map((item) => new Send("ask", item)), ["ask"])
      .addEdge("ask", END)
      .compile({ checkpointer: new MemoryCheckpointer() });
    const { interrupts } = await graph.invoke({}, { thread });
    expect(interrupts.map(({ value }) => value)).toEqual(["a", "b"]);
    await expect(graph.invoke(new Command({ resume: 1 }), { thread })).rejects.toMatchObject({
      code: "INVALID_INPUT",
      details: { interrupts: interrupts.map(({ id }) => id) },
    });
    const [a, b] = interrupts;
    const one = await graph.invoke(new Command({ resume: 2, interrupt: b!.id }), { thread });
    expect(one.interrupts.map(({ value }) => value)).toEqual(["a"]);
    const all = await graph.invoke(new Command({ resume: 1, interrupt: a!.id }), { thread });
    expect(all.output.log).toEqual(["a: 1", "b: 2"]);
  });

  test("in a subgraph surfaces in the graph around it", async () => {
    const inner = new StateGraph(channels)
      .addNode("before", () => ({ log: ["before"] }))
      .addNode("ask", (_, ctx) => ({ log: [ctx.interrupt<string>("inner?")] }))
      .addEdge(START, "before")
      .addEdge("before", "ask")
      .addEdge("ask", END)
      .compile();
    const checkpointer = new MemoryCheckpointer();
    const open = () =>
      new StateGraph(channels)
        .addSubgraph("inner", inner, { map: () => ({}), merge: ({ log }) => ({ log: [...log] }) })
        .addEdge(START, "inner")
        .addEdge("inner", END)
        .compile({ checkpointer });
    const { interrupts } = await open().invoke({}, { thread });
    expect(interrupts).toEqual([{ id: "1:0/2:0", node: "ask", value: "inner?" }]);
    const { output } = await open().invoke(new Command({ resume: "yes" }), { thread });
    expect(output.log).toEqual(["before", "yes"]);
  });

  test("keeps a new input away until it is answered", async () => {
    const open = processes((ctx) => ctx.interrupt("?"));
    await open().invoke({}, { thread });
    await expect(open().invoke({}, { thread })).rejects.toMatchObject({ code: "CONFLICT" });
    await open().invoke(new Command({ resume: 1 }), { thread });
    await expect(open().invoke(new Command({ resume: 1 }), { thread })).rejects.toMatchObject({
      code: "NO_RUN",
    });
    expect((await open().invoke({}, { thread })).status).toBe("waiting");
  });

  test("is not answered by a command that carries no answer", async () => {
    const open = processes((ctx) => ctx.interrupt("?"));
    await open().invoke({}, { thread });
    await expect(open().invoke(new Command({ goto: END }), { thread })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    expect((await open().getState(thread)).status).toBe("waiting");
  });

  test("needs a checkpointer, and says so", async () => {
    const graph = new StateGraph(channels)
      .addNode("ask", (_, ctx) => ({ log: [ctx.interrupt<string>("?")] }))
      .addEdge(START, "ask")
      .addEdge("ask", END)
      .compile();
    await expect(graph.invoke({})).rejects.toMatchObject({
      code: "INVALID_CONTRACT",
      message: expect.stringContaining("no checkpointer"),
    });
  });

  test("is not lost on attempts that fail later: nobody is asked twice", async () => {
    const checkpointer = new MemoryCheckpointer();
    const graph = new StateGraph(channels)
      .addNode(
        "ask",
        (_, ctx) => {
          const answer = ctx.interrupt<string>("?");
          if (ctx.attempt === 1) throw new Error("after the answer");
          return { log: [answer] };
        },
        { retry: { attempts: 2, first: 0 } },
      )
      .addEdge(START, "ask")
      .addEdge("ask", END)
      .compile({ checkpointer });
    await graph.invoke({}, { thread });
    const { output } = await graph.invoke(new Command({ resume: "once" }), { thread });
    expect(output.log).toEqual(["once"]);
  });
});

describe("an event", () => {
  test("wakes whoever waits for it, if the condition takes it", async () => {
    const open = processes((ctx) =>
      ctx.waitFor<{ price: number }>("price", { when: ({ price }) => price > 100 }),
    );
    expect((await open().invoke({}, { thread })).status).toBe("waiting");
    expect((await open().signal(thread, "other", {})).status).toBe("waiting");
    expect((await open().signal(thread, "price", { price: 99 })).status).toBe("waiting");
    const { status, output } = await open().signal(thread, "price", { price: 101 });
    expect({ status, log: output.log }).toEqual({ status: "completed", log: ['{"price":101}'] });
  });

  test("that comes too early is kept for the next who waits for it, in order", async () => {
    const open = processes((ctx) => [
      ctx.interrupt("begin?"),
      ctx.waitFor("go"),
      ctx.waitFor("go"),
    ]);
    await open().invoke({}, { thread });
    await open().signal(thread, "go", 1);
    await open().signal(thread, "go", 2);
    const { output } = await open().invoke(new Command({ resume: 0 }), { thread });
    expect(output.log).toEqual(["[0,1,2]"]);
  });

  test("is refused when a thousand of its name are kept", async () => {
    const open = processes((ctx) => ctx.interrupt("?"));
    const graph = open();
    await graph.invoke({}, { thread });
    for (let n = 0; n < 1_000; n++) {
      await graph.signal(thread, "go", n);
    }
    await expect(graph.signal(thread, "go", 0)).rejects.toMatchObject({ code: "OVERLOADED" });
  });

  test("is refused when no run is under way", async () => {
    const open = processes((ctx) => ctx.waitFor("go"));
    await expect(open().signal(thread, "go", 1)).rejects.toMatchObject({ code: "NO_RUN" });
    await open().invoke({}, { thread });
    await open().signal(thread, "go", 1);
    await expect(open().signal(thread, "go", 2)).rejects.toMatchObject({ code: "NO_RUN" });
  });

  test("reaches all who wait for it, in subgraphs too", async () => {
    const waits = (name: string) =>
      new StateGraph(channels)
        .addNode("wait", (_, ctx) => ({ log: [`${name} ${String(ctx.waitFor("go"))}`] }))
        .addEdge(START, "wait")
        .addEdge("wait", END);
    const mapping = {
      map: () => ({}),
      merge: ({ log }: { log: readonly string[] }) => ({ log: [...log] }),
    };
    const graph = new StateGraph(channels)
      .addSubgraph("a", waits("a").compile(), mapping)
      .addSubgraph("b", waits("b").compile(), mapping)
      .addNode("c", (_, ctx) => ({ log: [`c ${String(ctx.waitFor("go"))}`] }))
      .addEdge(START, "a")
      .addEdge(START, "b")
      .addEdge(START, "c")
      .addEdge("a", END)
      .addEdge("b", END)
      .addEdge("c", END)
      .compile({ checkpointer: new MemoryCheckpointer() });
    await graph.invoke({}, { thread });
    const { output } = await graph.signal(thread, "go", "now");
    expect(output.log).toEqual(["a now", "b now", "c now"]);
  });

  test("that does not come in time is undefined, however many others have come meanwhile", async () => {
    let now = 1_000;
    const checkpointer = new MemoryCheckpointer();
    const open = () =>
      new StateGraph(channels)
        .addNode("wait", (_, ctx) => {
          const come = ctx.waitFor("go", { timeout: "1h", when: (value) => value === "right" });
          return { log: [String(come)] };
        })
        .addEdge(START, "wait")
        .addEdge("wait", END)
        .compile({ checkpointer, now: () => now });
    const dies = async (run: Promise<unknown>): Promise<void> => {
      await new Promise(setImmediate);
      checkpointer.revoke(thread);
      await expect(run).rejects.toMatchObject({ code: "FENCED" });
    };
    await dies(open().invoke({}, { thread }));
    now += 3_599_999;
    await dies(open().signal(thread, "go", "wrong"));
    now += 1;
    const { output } = await open().invoke(null, { thread });
    expect(output.log).toEqual(["undefined"]);
  });
});

describe("time", () => {
  test("that has passed while no process was there has passed", async () => {
    let now = 1_000;
    const checkpointer = new MemoryCheckpointer();
    const open = () =>
      new StateGraph(channels)
        .addNode("sleep", (_, ctx) => {
          ctx.sleep("1h");
          return { log: ["woke"] };
        })
        .addEdge(START, "sleep")
        .addEdge("sleep", END)
        .compile({ checkpointer, now: () => now });
    const dying = open().invoke({}, { thread });
    await new Promise(setImmediate);
    expect(await open().getState(thread)).toMatchObject({ status: "waiting", next: ["sleep"] });
    checkpointer.revoke(thread);
    await expect(dying).rejects.toMatchObject({ code: "FENCED" });
    now += 3_600_000;
    const { output } = await open().invoke(null, { thread });
    expect(output.log).toEqual(["woke"]);
  });

  test("passes for one branch while another one is asked", async () => {
    const graph = new StateGraph(channels)
      .addNode("sleep", (_, ctx) => {
        ctx.sleep(1);
        return { log: ["woke"] };
      })
      .addNode("ask", (_, ctx) => ({ log: [ctx.interrupt<string>("?")] }))
      .addEdge(START, "sleep")
      .addEdge(START, "ask")
      .addEdge("sleep", END)
      .addEdge("ask", END)
      .compile({ checkpointer: new MemoryCheckpointer() });
    const asked = await graph.invoke({}, { thread });
    expect(asked.interrupts).toHaveLength(1);
    expect((await graph.getState(thread)).next).toEqual(["ask"]);
    const { output } = await graph.invoke(new Command({ resume: "yes" }), { thread });
    expect(output.log).toEqual(["woke", "yes"]);
  });

  test("is looked at until a condition holds", async () => {
    let looks = 0;
    const graph = new StateGraph(channels)
      .addNode("wait", async (_, ctx) => {
        await ctx.until(() => ++looks === 3, { every: 1 });
        return { log: [`looked ${looks} times`] };
      })
      .addEdge(START, "wait")
      .addEdge("wait", END)
      .compile();
    expect((await graph.invoke({})).output.log).toEqual(["looked 3 times"]);
  });
});

describe("an effect", () => {
  test("is had once, however often its node is executed", async () => {
    const had: string[] = [];
    const open = processes(async (ctx) => {
      const paid = await ctx.effect("pay", (key) => {
        had.push(key);
        return { receipt: 7 };
      });
      return [paid, ctx.interrupt("ship?")];
    });
    const { run } = await open().invoke({}, { thread });
    const { output } = await open().invoke(new Command({ resume: "yes" }), { thread });
    expect(output.log).toEqual(['[{"receipt":7},"yes"]']);
    expect(had).toEqual([`${thread}/${run}/1:0:pay`]);
  });

  test("needs a name of its own, and a result that can be recorded", async () => {
    const twice = processes(async (ctx) => {
      await ctx.effect("pay", () => 1);
      await ctx.effect("pay", () => 2);
    });
    await expect(twice().invoke({}, { thread })).rejects.toMatchObject({ code: "DUPLICATE" });
    const odd = processes((ctx) => ctx.effect("pay", () => () => 1));
    await expect(odd().invoke({}, { thread })).rejects.toMatchObject({ code: "UNENCODABLE" });
  });
});
