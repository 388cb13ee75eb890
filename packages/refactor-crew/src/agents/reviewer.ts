import type { RuleName } from "../rules/rule.ts";
import { ruleOf } from "../rules/rules.ts";
import { modelNote } from "./model-note.ts";
import type { Seat } from "./seat.ts";

/** What a commit must not leave behind, and why. */
const DEMANDS: readonly { rule: RuleName; why: string }[] = [
  { rule: "broken-import", why: "imports something that is not there" },
  { rule: "unused-import", why: "leaves something unused" },
  { rule: "document", why: "leaves an exported function without a comment" },
];

/** Looks at every file of everything that lands, and asks its author for a follow-up where something is missing. */
export async function review({ place, board, models, signal }: Seat): Promise<void> {
  for (;;) {
    await board.until(() => next() !== undefined, signal);
    const landed = next()!;
    const { tree } = await place.snapshot();
    const asked = new Set(board.openAsks().map(({ job }) => `${job.rule}:${job.subject}`));
    let asks = 0;
    for (const { rule, why } of DEMANDS) {
      for (const subject of landed.paths) {
        const job = { rule, subject };
        if (ruleOf(job).spots(tree, job).length === 0 || asked.has(`${rule}:${subject}`)) continue;
        asks += 1;
        const id = `${landed.job}/${rule}/${subject}`;
        const ask = { id, agent: landed.agent, job };
        await place.tell({ kind: "asked", ask, title: ruleOf(job).title(job), why });
      }
    }
    const files = [...tree].filter(([path]) => landed.paths.includes(path));
    const about = { title: landed.title, files };
    const note = models && (await modelNote(models, about, signal));
    await place.tell({ kind: "reviewed", job: landed.job, asks, note });
    await board.until(() => board.reviewed.has(landed.job), signal);
  }

  function next() {
    return [...board.landed.values()].find(({ job }) => !board.reviewed.has(job));
  }
}
