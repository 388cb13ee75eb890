import { MeshError } from "@plexus/core";
import { z } from "zod";
import { Command, END, PARENT, Send, type Goto } from "./command.ts";
import type { NodePlan, Plan } from "./plan.ts";
import type { Handoff, Target, Writes } from "./run.ts";

type Values = Record<string, unknown>;

/** The public part of a graph's state, as an object of the reader's own. */
export function publicValues({ channels, publicKeys }: Plan, values: Readonly<Values>): Values {
  if (publicKeys.length === channels.size) return { ...values };
  const view: Values = {};
  for (const key of publicKeys) view[key] = values[key];
  return view;
}

/** What a node sees of the state: all that is public, and its private channels. */
export function viewOf(plan: Plan, node: NodePlan, values: Readonly<Values>): Values {
  const view = publicValues(plan, values);
  for (const [name, key] of node.privates) view[name] = values[key];
  return view;
}

/** The state as the node leaves it, without what others of its step write: what its routers go by. */
export function viewAfter(plan: Plan, node: NodePlan, values: Values, writes: Writes): Values {
  const after = { ...values };
  for (const key of Object.keys(writes)) {
    after[key] = plan.channels.get(key)!.merge(after[key], [writes[key]]);
  }
  return viewOf(plan, node, after);
}

/** Checks what is to be written, by its channels' schemas. Throws `INVALID_OUTPUT` (or `code`) naming who, and the channel. */
export function checkWrites(
  plan: Plan,
  who: string,
  update: unknown,
  node?: NodePlan,
  code: "INVALID_OUTPUT" | "INVALID_INPUT" = "INVALID_OUTPUT",
): Writes {
  if (update === undefined || update === null) return {};
  if (typeof update !== "object" || Array.isArray(update)) {
    throw new MeshError(code, `${who}: an object of updates by channel is needed.`);
  }
  const writes: Values = {};
  for (const name of Object.keys(update)) {
    const value = (update as Values)[name];
    if (value === undefined) continue;
    const key = node?.privates.get(name) ?? name;
    const channel = plan.channels.get(key);
    if (channel === undefined || (key === name && name.includes("."))) {
      throw new MeshError(code, `${who}: there is no channel ${name}.`, {
        details: { channel: name },
      });
    }
    if (node?.writes?.has(name) === false && key === name) {
      throw new MeshError(code, `${who}: channel ${name} is not among its writes.`);
    }
    const parsed = channel.schema.safeParse(value);
    if (!parsed.success) {
      const problem = z.prettifyError(parsed.error);
      throw new MeshError(code, `${who}: channel ${name} does not take it: ${problem}`, {
        details: { channel: name },
      });
    }
    writes[key] = parsed.data;
  }
  return writes;
}

/** What a node has returned: its update and where it wants to go, in its graph or in the one around that. */
interface Returned {
  readonly update: unknown;
  readonly goto: readonly Target[];
  readonly handoff?: Handoff;
}

/** Splits what a node has returned. Throws `INVALID_OUTPUT`. */
export function readReturn(node: NodePlan, value: unknown): Returned {
  if (!(value instanceof Command)) return { update: value, goto: [] };
  const { update, goto, graph } = value;
  const who = `Node ${node.name}`;
  if (graph === undefined) return { update, goto: targetsOf(who, goto, node.ends, "its ends") };
  if (!node.ends.includes(PARENT)) {
    throw new MeshError(
      "INVALID_OUTPUT",
      `${who} directs the graph around it, and Command.PARENT is not among its ends.`,
    );
  }
  const there = listOf(who, goto).map((to) =>
    to instanceof Send ? { node: to.node, input: to.input } : to,
  );
  return { update: undefined, goto: [], handoff: { update, goto: there } };
}

/** What was handed to the graph around a subgraph, as its node's command there. */
export function commandOf({ update, goto }: Handoff): Command {
  const there = goto.map((to) => (typeof to === "string" ? to : new Send(to.node, to.input)));
  return new Command({ update, goto: there });
}

const NO_LABELS: ReadonlyMap<string, string> = new Map();

/** Where somebody wants to go, if it is among the places that were named when the graph was built. Throws `INVALID_OUTPUT`. */
export function targetsOf(
  who: string,
  goto: Goto,
  allowed: readonly string[],
  what: string,
  labels = NO_LABELS,
): Target[] {
  const targets: Target[] = [];
  for (const one of listOf(who, goto)) {
    const name = one instanceof Send ? one.node : (labels.get(one) ?? one);
    if (!allowed.includes(name) || name === PARENT) {
      throw new MeshError("INVALID_OUTPUT", `${who} leads to ${name}, which is not among ${what}.`);
    }
    if (one instanceof Send) targets.push({ node: name, input: one.input });
    else if (name !== END) targets.push(name);
  }
  return targets;
}

function listOf(who: string, goto: Goto): readonly (string | Send)[] {
  const all = typeof goto === "string" || goto instanceof Send ? [goto] : goto;
  if (Array.isArray(all)) return all as readonly (string | Send)[];
  throw new MeshError("INVALID_OUTPUT", `${who} says where to go, but not by a name or a Send.`);
}
