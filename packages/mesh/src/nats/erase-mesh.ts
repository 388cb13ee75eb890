import { jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import { MeshError } from "@plexus/core";
import { Link, type LinkOptions } from "./link.ts";

const API_TIMEOUT_MS = 5_000;
const deaf = { lost: () => undefined, restored: () => undefined, error: () => undefined };

/**
 * Deletes everything that a broker keeps of a mesh: topics, tasks, results, journals, leases, the registry. For meshes
 * that were made for one purpose and have served it; processes that are still in it lose what they work on. Returns how
 * many streams that were. Rejects with `NOT_CONNECTED` or `UNAUTHORIZED`.
 */
export async function eraseMesh(mesh: string, options: Omit<LinkOptions, "name">): Promise<number> {
  const link = await Link.open({ ...options, name: "plexus-erase" }, deaf);
  try {
    if (!link.connection.info?.jetstream) return 0;
    const manager = await jetstreamManager(link.connection, {
      timeout: API_TIMEOUT_MS,
      checkAPI: false,
    });
    const own: string[] = [];
    for await (const stream of manager.streams.list()) {
      if (belongsTo(mesh, stream)) own.push(stream.config.name);
    }
    await Promise.all(own.map((name) => manager.streams.delete(name)));
    return own.length;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MeshError("NOT_CONNECTED", `Mesh ${mesh} is not erased, or not all of it: ${why}.`, {
      cause,
    });
  } finally {
    await link.close();
  }
}

/** By name and by subjects: `a` must not take the streams of `a-b` for its own, nor those that others made of its subjects. */
function belongsTo(mesh: string, { config: { name, subjects } }: StreamInfo): boolean {
  const bucket = name.startsWith(`KV_${mesh}-`) ? name.slice(`KV_${mesh}-`.length) : undefined;
  if (bucket !== undefined) return /^[a-z]+$/.test(bucket);
  const prefix = `${mesh}.`;
  return name.startsWith(`${mesh}-`) && subjects.every((subject) => subject.startsWith(prefix));
}
