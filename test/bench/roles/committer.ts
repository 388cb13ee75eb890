import { Workspaces } from "@plexus/core";
import { connect, type EntityClient, type Mesh } from "@plexus/mesh";
import { now } from "../clock.ts";
import type { Place } from "../contenders/contender.ts";
import { closedLoop } from "../load.ts";
import { serve } from "../serve.ts";
import { FILES, deepFile, type Where } from "../workspaces/history.ts";

const HASH = "n".repeat(43);
let mesh: Mesh;
let owner: EntityClient<typeof Workspaces>;
let head = 0;
let next = 0;

/** Commits one file and gives how long that took, in ms. */
async function commit(path: string, base: number, expected: string): Promise<number> {
  const id = `bench ${next++}`;
  const write = { path, base, hash: HASH, size: 1 };
  const request = { id, by: "bench", message: "bench", writes: [write], reads: [], parents: [] };
  const begin = now();
  const { outcome } = await owner.commit(request, { id });
  if (outcome !== expected) throw new Error(`${path}: ${outcome}, not ${expected}`);
  return now() - begin;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

const committer = {
  async open({ servers, namespace }: Place, workspace: string) {
    mesh ??= await connect({ servers, mesh: namespace, name: "committer", http: false });
    owner = mesh.get(Workspaces, workspace);
    ({ head } = await owner.stat([], { timeout: "60s" }));
    return head;
  },

  /** One after the other, without a conflict: the median, in ms. */
  async calm(count: number) {
    const times: number[] = [];
    for (let n = 0; n < count; n++) times.push(await commit(`new/${next}`, head, "committed"));
    return median(times);
  },

  /** So many at a time: commits a second. */
  async many(outstanding: number, seconds: number) {
    const begin = now();
    let count = 0;
    await closedLoop(outstanding, seconds, async () => {
      await commit(`many/${next}`, head, "committed");
      count++;
    });
    return count / ((now() - begin) / 1_000);
  },

  /** Refused, because it is so many commits behind: the median of several files, in ms. */
  async behind(where: Where, depth: number) {
    const times: number[] = [];
    for (let n = 0; n < FILES; n++) {
      times.push(await commit(deepFile(where, depth, n), 0, "rejected"));
    }
    return median(times);
  },
};

export type Committer = typeof committer;
serve(committer);
