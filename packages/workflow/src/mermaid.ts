import { END, PARENT, START } from "./command.ts";
import type { Exits, Plan } from "./plan.ts";

/** A graph as a Mermaid flowchart: fixed edges are drawn, conditional ones and hand-offs dotted; subgraphs are boxes. */
export function mermaid(plan: Plan): string {
  return ["flowchart TD", ...lines(plan, "").map((line) => `  ${line}`)].join("\n");
}

function lines(plan: Plan, prefix: string): string[] {
  const id = (name: string): string => {
    if (name === START || name === END || name === PARENT) return prefix + name; // "end" alone is a word of Mermaid's
    return `${prefix}n_${name.replaceAll("-", "_")}`;
  };
  const nodes = [...plan.nodes.values()].flatMap(({ name, nested, deferred }) => {
    if (nested === undefined) return [`${id(name)}${deferred ? `[/"${name}"/]` : `["${name}"]`}`];
    const inner = lines(nested.plan, `${id(name)}_`);
    return [`subgraph ${id(name)} ["${name}"]`, ...inner.map((line) => `  ${line}`)].concat("end");
  });
  const edges = [[START, plan.start] as const, ...plan.nodes].flatMap(([from, exits]) =>
    edgesOf(from, exits).map(({ to, text }) => `${id(from)} ${text} ${id(to)}`),
  );
  const directs = [...plan.nodes.values()].some(({ ends }) => ends.includes(PARENT));
  const around = directs ? [`${id(PARENT)}(["PARENT"])`] : [];
  return [`${id(START)}(["START"])`, `${id(END)}(["END"])`, ...around, ...nodes, ...edges];
}

function edgesOf(from: string, exits: Exits): { to: string; text: string }[] {
  const { next, joins, routes, ends } = exits;
  return [
    ...next.map((to) => ({ to, text: "-->" })),
    ...joins.map(({ to, from: all }) => ({
      to,
      text: `-->|and ${all.filter((name) => name !== from).join(", ")}|`,
    })),
    ...routes.flatMap(({ targets, labels }) =>
      targets.map((to) => {
        const names = [...labels].filter(([label, name]) => name === to && label !== to);
        const label = names.map(([name]) => name.replaceAll('"', "#quot;")).join(", ");
        return { to, text: label === "" ? "-.->" : `-.->|"${label}"|` };
      }),
    ),
    ...ends.map((to) => ({ to, text: "-.->" })),
  ];
}
