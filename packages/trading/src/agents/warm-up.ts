import { setTimeout as sleep } from "node:timers/promises";
import type { Entity } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";

const LOOK_MS = 50;
const LOOKS = 200;

/**
 * Waits until every partition of an entity has an owner, so that the first orders find one. Ten seconds at most: whoever comes
 * earlier or meets a partition that moves just waits longer for its answer.
 */
export async function warmUp(mesh: Mesh, entity: Entity): Promise<void> {
  for (let look = 0; look < LOOKS; look += 1) {
    const shards = await mesh.shards(entity).catch(() => []);
    if (shards.filter(({ state }) => state === "held").length === entity.partitions) return;
    await sleep(LOOK_MS);
  }
}
