import { MeshError, toMs, type Entity } from "@plexus/core";
import type { CommandHandler } from "./command-execution.ts";
import type { EntityHostOptions } from "./entity-host.ts";
import { EntityPartition } from "./entity-partition.ts";
import type { PartitionMaker } from "./hosted-partition.ts";

/** Makes the partitions of an entity, which execute its commands by these handlers. Throws `INVALID_CONTRACT` if one is missing. */
export function entityPartitions(
  { name, commands }: Entity,
  handlers: Readonly<Record<string, CommandHandler>>,
  { passivateAfter = "5m" }: EntityHostOptions,
): PartitionMaker {
  const byName = new Map(
    Object.keys(commands).map((command) => {
      const handler = handlers[command];
      if (typeof handler === "function") return [command, handler] as const;
      throw new MeshError("INVALID_CONTRACT", `Entity ${name}: no handler for ${command}.`);
    }),
  );
  const passivateMs = toMs(passivateAfter);
  return (home, partition, epoch) =>
    new EntityPartition(home, byName, passivateMs, partition, epoch);
}
