import type { Arrived } from "./command-execution.ts";
import type { Outcome } from "./entity-record.ts";
import type { EntityServices } from "./entity-services.ts";
import type { Entity } from "@plexus/core";

/** One partition while this process owns it. */
export interface HostedPartition {
  readonly partition: number;
  readonly epoch: number;
  /** Keys in memory. */
  readonly size: number;
  /** Raises the fence and begins; tries until this process does not own the partition any more. */
  open(): Promise<void>;
  /** Executes the command of a request. Rejects as `isMoved` tells when it does not belong here (any more). */
  execute(arrived: Arrived, deadlineMs: number): Promise<Outcome>;
  /** The caller of this request gave up. */
  cancel(request: string): void;
  /** Begins nothing more, and calls `quiet` when what runs has ended and is recorded. */
  quiesce(quiet: () => void): void;
  /** Stops at once: whatever still runs must not be recorded any more. */
  abort(): void;
  /** The connection is back. */
  restored(): void;
  /** Time passes; every 100 ms. */
  tick(now: number): void;
}

/** What a partition needs of the host that it belongs to. */
export interface PartitionHome {
  readonly services: EntityServices;
  readonly contract: Entity;
  readonly instance: string;
  /** Whether this process may act for the partition, by its own clock. */
  owns(partition: number, epoch: number): boolean;
  /** It is open, and takes commands. */
  opened(partition: HostedPartition): void;
  /** Somebody else has written: what is in memory counts no more. It begins nothing any more. */
  failed(partition: HostedPartition): void;
  /** A durable command has ended. */
  executed(command: string, outcome: Outcome, startedMs: number): void;
}

/** Makes what a host does with a partition that it has come to own. */
export type PartitionMaker = (
  home: PartitionHome,
  partition: number,
  epoch: number,
) => HostedPartition;
