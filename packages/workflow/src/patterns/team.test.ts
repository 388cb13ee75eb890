import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ask, killedBehindEachRecord, overheard } from "../../../../test/support/patterns.ts";
import type { AgentFunction, AgentSpec, Team } from "./agent.ts";
import { concurrent } from "./concurrent.ts";
import { debate } from "./debate.ts";
import { handoff } from "./handoff.ts";
import { network } from "./network.ts";
import { sequential } from "./sequential.ts";
import type { SharingOptions } from "./sharing.ts";
import { supervisor } from "./supervisor.ts";

/* Random hierarchies of every pattern with a conversation, in which whoever is shown something that a provider would refuse throws. */

type Plan =
  | { readonly kind: "agent"; readonly works: number }
  | {
      readonly kind: "supervisor" | "network" | "sequential" | "concurrent" | "debate";
      readonly members: readonly Plan[];
      readonly share: "final" | "full";
      readonly maxTokens: number | undefined;
    };

const { plan: somePlan } = fc.letrec<{ plan: Plan; agent: Plan; team: Plan }>((tie) => ({
  plan: fc.oneof({ depthSize: "small", withCrossShrink: true }, tie("agent"), tie("team")),
  agent: fc.record({ kind: fc.constant("agent" as const), works: fc.nat({ max: 2 }) }),
  team: fc.record({
    kind: fc.constantFrom("supervisor", "network", "sequential", "concurrent", "debate"),
    members: fc.array(tie("plan"), { minLength: 2, maxLength: 3 }),
    share: fc.constantFrom("final", "full"),
    maxTokens: fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined }),
  }),
}));

/** Works by tools so many times, and then answers, or hands off to who comes next. */
function agent(works: number, next?: string): AgentFunction {
  return overheard(({ agent: name, task = "it" }, { execution }) => {
    const working = Array.from({ length: works }, (_, i) => `w${i}-${execution.length}`).flatMap(
      (id) => [
        { role: "assistant" as const, text: "hm", toolCalls: [{ id, name: "dig", input: {} }] },
        { role: "tool" as const, results: [{ id, name: "dig", output: "dirt" }] },
      ],
    );
    if (next !== undefined) return handoff(next, { task, working });
    return [...working, { role: "assistant", text: `${name} did ${task}` }];
  }).run;
}

function member(plan: Plan, next?: string): AgentSpec {
  return { run: plan.kind === "agent" ? agent(plan.works, next) : team(plan) };
}

/** A pattern in which everybody has a turn: a supervisor has the first two work at once. */
function graph(plan: Exclude<Plan, { kind: "agent" }>) {
  const { kind, members, share, maxTokens } = plan;
  const names = members.map((_, i) => `m${i}`);
  const specs = members.map((one) => member(one));
  const agents = Object.fromEntries(names.map((name, i) => [name, specs[i]!]));
  const options: SharingOptions = { share, ...(maxTokens === undefined ? {} : { maxTokens }) };
  switch (kind) {
    case "supervisor": {
      const orders = [names.slice(0, 2), ...names.slice(2).map((name) => [name])];
      const { run: decide } = overheard((_, { visits }) => {
        const order = orders[visits - 1];
        return order === undefined ? "done" : handoff(order, { task: `part ${visits}` });
      });
      return supervisor({ agents, decide, ...options });
    }
    case "network": {
      // Teams do not hand off, so one ends it.
      const relay = names.map((name, i): [string, AgentSpec] => [
        name,
        member(members[i]!, names[i + 1]),
      ]);
      return network({ agents: Object.fromEntries(relay), ...options });
    }
    case "sequential":
      return sequential({ agents, ...options });
    case "concurrent": {
      const { run: aggregate } = overheard(({ messages }) => `of ${messages.length}`);
      return concurrent({ agents, aggregate, ...options });
    }
    default: {
      const { run: judge } = overheard(() => "so be it");
      return debate({
        agents,
        judge: (input, context) => (input.last ? judge(input, context) : undefined),
        agreement: () => undefined,
        rounds: 2,
        ...options,
      });
    }
  }
}

function team(plan: Exclude<Plan, { kind: "agent" }>): Team {
  return graph(plan).compile();
}

const numRuns = Number(process.env["PLEXUS_PATTERNS"] ?? 25);

test("in any hierarchy of patterns, whatever is shared and capped, everybody is shown what providers accept; killed and resumed anywhere, it has the same history", async () => {
  await fc.assert(
    fc.asyncProperty(
      somePlan.filter((plan): plan is Exclude<Plan, { kind: "agent" }> => plan.kind !== "agent"),
      async (plan) => {
        const { output } = await killedBehindEachRecord(
          (checkpointer) => graph(plan).compile({ checkpointer }) as Team,
          ask("begin"),
        );
        const ids = output.messages.map(({ id }) => id);
        expect(new Set(ids).size).toBe(ids.length);
        expect(output.messages.at(-1)?.role).toBe("assistant");
      },
    ),
    { numRuns },
  );
});
