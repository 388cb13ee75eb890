import { MeshError } from "@plexus/core";
import { z } from "zod";
import type { RouteContext } from "./context.ts";
import type { Exits, Plan } from "./plan.ts";
import type { Target, Writes } from "./run.ts";
import type { Goto } from "./command.ts";
import { checkWrites, publicValues, targetsOf } from "./view.ts";

/** Where routers lead. Synchronous if they are. */
export function route(
  { routes }: Exits,
  from: string,
  view: () => unknown,
  context: RouteContext,
): Target[] | Promise<Target[]> {
  if (routes.length === 0) return [];
  const decided = routes.map((one) => one.decide(view(), context));
  const read = (gotos: readonly Goto[]): Target[] =>
    routes.flatMap(({ targets, labels }, i) =>
      targetsOf(`A conditional edge of ${from}`, gotos[i]!, targets, "its targets", labels),
    );
  return decided.some((one) => one instanceof Promise)
    ? Promise.all(decided.map(async (one) => one)).then(read)
    : read(decided as Goto[]);
}

/** Checks a graph's input. Throws `INVALID_INPUT`. */
export function checkInput(plan: Plan, input: unknown): Writes {
  const who = `The input of graph ${plan.name}`;
  if (plan.input === undefined) return checkWrites(plan, who, input, undefined, "INVALID_INPUT");
  const parsed = plan.input.safeParse(input);
  if (!parsed.success) {
    throw new MeshError("INVALID_INPUT", `${who}: ${z.prettifyError(parsed.error)}`);
  }
  return checkWrites(plan, who, parsed.data, undefined, "INVALID_INPUT");
}

/** What routers behind START see. */
export function startView(plan: Plan, values: Record<string, unknown>, writes: Writes): unknown {
  const after = { ...values };
  for (const key of Object.keys(writes)) {
    after[key] = plan.channels.get(key)!.merge(after[key], [writes[key]]);
  }
  return publicValues(plan, after);
}

/** What a run results in. Throws `INVALID_OUTPUT`. */
export function outputOf(plan: Plan, values: Record<string, unknown>): unknown {
  const all = publicValues(plan, values);
  if (plan.output === undefined) return all;
  const parsed = plan.output.safeParse(all);
  if (parsed.success) return parsed.data;
  throw new MeshError(
    "INVALID_OUTPUT",
    `The output of graph ${plan.name}: ${z.prettifyError(parsed.error)}`,
  );
}
