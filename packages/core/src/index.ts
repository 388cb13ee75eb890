export { agent, describeAgent } from "./contract.ts";
export type { Agent, AgentDescription, Capability, CapabilityDescription } from "./contract.ts";
export { commandTimeoutMs, describeEntity, entity } from "./entity.ts";
export type { Command, Entity, Folds } from "./entity.ts";
export { journal } from "./journal.ts";
export type { EventSchemas, Journal } from "./journal.ts";
export { EventTypes, packEvent, unpackEvent } from "./versioned-event.ts";
export type { EventSpec, RecordedEvent, VersionedEvent } from "./versioned-event.ts";
export {
  parameterPattern,
  partitionSubject,
  topic,
  topicPartition,
  topicPattern,
  topicSubject,
} from "./topic.ts";
export type { Topic, TopicSpec } from "./topic.ts";
export type { DurableTopic, ResolvedDurableTopic } from "./durable-topic.ts";
export { state } from "./state.ts";
export type { State, StateSpec } from "./state.ts";
export {
  ERROR_CODES,
  MeshError,
  fromWireError,
  isMeshError,
  quote,
  toMeshError,
} from "./errors.ts";
export type { ErrorCode, MeshErrorOptions, WireError } from "./errors.ts";
export { MAX_TIMER_MS, toMs, toTimerMs } from "./duration.ts";
export type { Duration } from "./duration.ts";
export type { Clock, Random } from "./clock.ts";
export { createUlid, hexToUlid, ulidToHex } from "./ulid.ts";
export { DEFAULT_TENANT, PRIORITIES, resolveDurability, resolveRetry } from "./task.ts";
export type {
  Durability,
  Priority,
  ResolvedDurability,
  ResolvedRetry,
  RetryPolicy,
  TaskState,
} from "./task.ts";
export { decodePayload, encodePayload } from "./codec.ts";
export { fromTaggedJson, toTaggedJson } from "./tagged-json.ts";
export { Envelope, KINDS, WIRE_VERSION, kindName, readFrame } from "./envelope.ts";
export type { EnvelopeFields, Kind, KindName } from "./envelope.ts";
export { FrameWriter } from "./frame-writer.ts";
export { RPC_QUEUE, createSubjects } from "./subjects.ts";
export type { Subjects } from "./subjects.ts";
export { escapeKey, isToken, token, unescapeKey } from "./token.ts";
export { hash32 } from "./hash.ts";
export { buildRing } from "./ring.ts";
export type { Ring, RingMember } from "./ring.ts";
export { PLACEMENTS, createPlacement, peakEwma } from "./placement.ts";
export type { Candidate, Placement, PlacementName, PlacementSpec } from "./placement.ts";
export { DEFAULT_PARTITIONS, partitionOf } from "./partition.ts";
export { assignPartitions } from "./assignment.ts";
export type { Assignment } from "./assignment.ts";
export { ShardMachine } from "./shard-machine.ts";
export { shardConfig } from "./shard-config.ts";
export type { ShardConfig } from "./shard-config.ts";
export type { SeenLease, ShardEffect, ShardInput, ShardStatus } from "./shard-protocol.ts";
export { holderOf, recordAfter } from "./shard-lease.ts";
export type {
  DropReason,
  LeaseEffect,
  ShardLease,
  WorkEffect,
  WriteOutcome,
} from "./shard-lease.ts";
export { DEFAULT_BACKOFF, backoffMs, mayTryElsewhere } from "./retry.ts";
export type { AttemptOutcome, Backoff } from "./retry.ts";
export { ChunkSequence, CreditWindow } from "./credit.ts";
export type { ChunkVerdict } from "./credit.ts";
export { elect } from "./ballot.ts";
export type { Ranking, VotingMethod } from "./ballot.ts";
export { demandCommit } from "./workspace-demand.ts";
export { CommitAnswer, Workspaces } from "./workspace-contract.ts";
export {
  clashesOf,
  conflictAt,
  conflictId,
  deciderOf,
  judge,
  rebased,
  renew,
  settle,
  staleOf,
} from "./workspace-machine.ts";
export type { Evidence, Stale, Verdict, WorkspaceEvent } from "./workspace-machine.ts";
export { MAX_PATHS } from "./workspace-model.ts";
export type {
  Ballot,
  Change,
  Clash,
  CommitNote,
  CommitRequest,
  Committed,
  ConflictDetected,
  ConflictResolved,
  Decision,
  FileState,
  OpenConflict,
  Read,
  Side,
  Strategy,
  StrategyRule,
  WorkspaceState,
  Write,
} from "./workspace-model.ts";
export { CHECKOUT_FOLDER, demandPath } from "./workspace-path.ts";
export { STRATEGIES, demandStrategy, strategyFor } from "./workspace-strategy.ts";
export type { StrategyName } from "./workspace-strategy.ts";
export { filesOf, findFile, withFiles } from "./workspace-tree.ts";
export { MAX_PART_BYTES } from "./checkpointer.ts";
export type {
  Checkpointer,
  OwnedThread,
  ReadRange,
  StoredRecord,
  StoredSnapshot,
  StoredThread,
  ThreadState,
} from "./checkpointer.ts";
export type { ThreadCall, ThreadKeeper } from "./thread-keeper.ts";
