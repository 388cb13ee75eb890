import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { KINDS, readFrame } from "@plexus/core";

/** One message of the journal of entities, as it is stored. */
export interface JournalEntry {
  readonly sequence: number;
  readonly entity: string;
  readonly partition: number;
  /** Of the owner that wrote it. */
  readonly epoch: number;
  /** Absent in a fence. */
  readonly record?: {
    readonly id: string;
    readonly key: string;
    readonly command: string;
    readonly durable: number | undefined;
    readonly events: readonly (readonly [name: string, data: unknown])[];
  };
}

/** The whole journal of a mesh, in its order. */
export async function readJournal(nats: NatsConnection, mesh: string): Promise<JournalEntry[]> {
  const consumer = await jetstream(nats).consumers.get(`${mesh}-journal`);
  const entries: JournalEntry[] = [];
  const { num_pending: pending } = await consumer.info();
  if (pending === 0) return entries;
  const messages = await consumer.consume({ max_messages: 2_000 });
  for await (const { subject, seq, data, info } of messages) {
    readFrame(data, ({ kind, id, recipient: key = "", name: command, value }) => {
      const [, , entity = "", partition] = subject.split(".");
      const { epoch, durable, events } = value as {
        epoch: number;
        durable?: number;
        events: [string, unknown][];
      };
      const record = { id, key, command, durable, events };
      entries.push({
        sequence: seq,
        entity,
        partition: Number(partition),
        epoch,
        ...(kind === KINDS.state_update ? { record } : {}),
      });
    });
    if (info.pending === 0) break;
  }
  return entries;
}

/**
 * What is wrong with a journal: an owner that wrote after a newer one had begun, a command recorded twice, durable commands of a
 * partition that are not in their order.
 */
export function faultsOf(journal: readonly JournalEntry[]): string[] {
  const faults: string[] = [];
  const epochs = new Map<string, number>();
  const durables = new Map<string, number>();
  const ids = new Set<string>();
  for (const { sequence, entity, partition, epoch, record } of journal) {
    const where = `${entity}/${partition} at ${sequence}`;
    const shard = `${entity}/${partition}`;
    const newest = epochs.get(shard) ?? 0;
    if (epoch < newest) faults.push(`${where}: epoch ${epoch} after ${newest}`);
    if (record && epoch !== newest) faults.push(`${where}: epoch ${epoch} has raised no fence`);
    epochs.set(shard, Math.max(epoch, newest));
    if (record === undefined) continue;
    const id = `${entity} ${record.key} ${record.id}`;
    if (ids.has(id)) faults.push(`${where}: ${id} is recorded twice`);
    ids.add(id);
    const before = durables.get(shard) ?? 0;
    if (record.durable !== undefined && record.durable <= before) {
      faults.push(`${where}: durable command ${record.durable} after ${before}`);
    }
    durables.set(shard, Math.max(record.durable ?? 0, before));
  }
  return faults;
}
