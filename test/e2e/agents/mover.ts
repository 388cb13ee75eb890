// Does one thing with the journal of moves, over and over, until somebody kills it.
import { connect } from "@plexus/mesh";
import { Moves, projectBalance } from "./moves.ts";

const [what = "transfer"] = process.argv.slice(2);
const mesh = await connect({ http: false });
const moves = mesh.journal(Moves);
const moved = (n: number, cents: number) => ({ type: "moved", data: { n, cents } }) as const;

/** Several transfers under way, each of three appends that belong together. */
async function transfer(): Promise<void> {
  let next = 0;
  const lane = async (): Promise<never> => {
    for (;;) {
      const n = next++;
      const set = [
        { key: `from ${n % 50}`, events: moved(n, -5) },
        { key: `to ${n % 50}`, events: moved(n, 5) },
        { key: "book", events: [moved(n, 0), moved(n, 0)] },
      ];
      await moves.appendAll(set, { timeout: "60s" });
      if (n === 20) console.log("busy");
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
}

async function compact(): Promise<void> {
  console.log("busy");
  for (;;) {
    await moves.compact({ before: { time: Date.now() - 200 } }).catch(() => undefined);
  }
}

async function project(): Promise<void> {
  const balance = await projectBalance(mesh);
  await moves.follow(() => undefined, { name: "ledger" });
  await balance.caughtUp;
  console.log("busy");
  await balance.ended;
}

await { transfer, compact, project }[what as "transfer" | "compact" | "project"]();
