import type { Topic } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import type * as z from "zod";

/** An event that is stored, and when it was published: microseconds since the epoch. */
export interface Recorded<Event> {
  readonly event: Event;
  readonly at: number;
}

/** Everything that a topic holds now, subject by subject in order. Rejects like a subscription. */
export async function recorded<T extends Topic>(
  mesh: Mesh,
  topic: T,
): Promise<Recorded<z.output<T["schema"]>>[]> {
  const found: Recorded<z.output<T["schema"]>>[] = [];
  await using replay = await mesh.subscribe(
    topic,
    (event, { sentAt }) => void found.push({ event, at: sentAt }),
    { from: "all" },
  );
  await replay.caughtUp;
  return found;
}
