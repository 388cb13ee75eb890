import { END, PARENT, START } from "./command.ts";
import type { Exits, Plan } from "./plan.ts";

const NAMES: Readonly<Record<string, string>> = { [END]: "END", [PARENT]: "PARENT" };

interface Branch {
  readonly to: string;
  /** What stands before the name: why one goes there. */
  readonly why: string;
}

/**
 * A graph for a terminal: who follows whom, as a tree. A node that was drawn above is only named (`↑`). `?` is a conditional
 * edge, `!` a hand-off, `&` a join.
 */
export function drawGraph(plan: Plan): string {
  const drawn = new Set<string>();
  const lines = ["START"];
  const draw = (exits: Exits, from: string, indent: string): void => {
    const branches = branchesOf(exits, from);
    for (const [i, { to, why }] of branches.entries()) {
      const last = i === branches.length - 1;
      const node = plan.nodes.get(to);
      const known = drawn.has(to);
      const name = NAMES[to] ?? to;
      const marks = node === undefined || known ? "" : marksOf(node);
      lines.push(`${indent}${last ? "└─" : "├─"} ${why}${name}${known ? " ↑" : marks}`);
      if (node === undefined || known) continue;
      drawn.add(to);
      const deeper = `${indent}${last ? "   " : "│  "}`;
      if (node.nested !== undefined) {
        const inner = drawGraph(node.nested.plan).split("\n");
        lines.push(...inner.map((line) => `${deeper}┊ ${line}`));
      }
      draw(node, to, deeper);
    }
  };
  draw(plan.start, START, "");
  return lines.join("\n");
}

function branchesOf({ next, joins, routes, ends }: Exits, from: string): Branch[] {
  return [
    ...next.map((to) => ({ to, why: "" })),
    ...joins.map(({ to, from: all }) => ({
      to,
      why: `& ${all.filter((name) => name !== from).join(", ")} → `,
    })),
    ...routes.flatMap(({ targets, labels }) =>
      targets.map((to) => {
        const names = [...labels].filter(([label, name]) => name === to && label !== to);
        const label = names.map(([name]) => name).join(", ");
        return { to, why: label === "" ? "? " : `? ${label} → ` };
      }),
    ),
    ...ends.map((to) => ({ to, why: "! " })),
  ];
}

function marksOf(node: { deferred: boolean; concurrency: number }): string {
  const marks = [
    ...(node.deferred ? ["deferred"] : []),
    ...(node.concurrency < Infinity ? [`at most ${node.concurrency} at a time`] : []),
  ];
  return marks.length === 0 ? "" : ` (${marks.join(", ")})`;
}
