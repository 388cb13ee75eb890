// One agent that edits a workspace: <agent> <seed> <edits> <files> <pause in ms>. Every edit adds a line of its own, at a place drawn
// at random, to one file or several. Writes `edit <json>` for each one, once it is known what became of it, and then `done`.
import { setTimeout as sleep } from "node:timers/promises";
import { isMeshError } from "@plexus/core";
import { connect, type ExplainedClash, type WorkspaceTransaction } from "@plexus/mesh";
import { seededRandom } from "@plexus/testing";
import type { Edit } from "../editors.ts";
import { quiet } from "../quiet.ts";

const [agent = "", seed, edits, files, pauseMs] = process.argv.slice(2);
const random = seededRandom(Number(seed));
await using mesh = await connect({ name: agent, http: false, log: quiet });
const repo = mesh.workspace("shop", { agent });

function file(): string {
  const n = Math.floor(random() * Number(files));
  return n % 2 === 0 ? `src/${n}.ts` : `docs/${n}.md`;
}

async function add(context: WorkspaceTransaction, path: string, line: string): Promise<void> {
  const lines = ((await context.find(path))?.text ?? "").split("\n");
  lines.splice(Math.floor(random() * lines.length), 0, line);
  context.write(path, lines.join("\n"));
}

/** Until it is known whether it was made: the same id makes a repetition harmless. */
async function edit(id: string): Promise<Edit> {
  const paths = new Set([file(), ...(random() < 0.3 ? [file(), file()] : [])]);
  const looked = random() < 0.3 ? file() : undefined;
  for (let repeated = 0; ; repeated++) {
    try {
      // Again only if its fate is unknown.
      const { version } = await repo.transact({ id, message: `add ${id}` }, async (context) => {
        if (looked !== undefined) await context.find(looked);
        await Promise.all([...paths].map((path) => add(context, path, id)));
        await sleep(random() * Number(pauseMs)); // somebody may commit meanwhile
      });
      return { id, outcome: "accepted", version, repeated };
    } catch (error) {
      if (isMeshError(error, "CONFLICT")) {
        const { clashes } = error.details as { clashes: ExplainedClash[] };
        return { id, outcome: "rejected", told: clashes.length, repeated };
      }
      if (!isMeshError(error, "TIMEOUT") && !isMeshError(error, "NOT_CONNECTED")) {
        return { id, outcome: "failed", why: String(error), repeated };
      }
    }
  }
}

for (let n = 0; n < Number(edits); n++) {
  console.log(`edit ${JSON.stringify(await edit(`${agent}.${n}`))}`);
  await sleep(random() * Number(pauseMs));
}
console.log("done");
