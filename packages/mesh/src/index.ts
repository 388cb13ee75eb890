export { connect, Mesh } from "./mesh.ts";
export type { ConnectOptions } from "./session.ts";
export type { Hosted } from "./hosting.ts";
export type { WaitForOptions } from "./wait-for.ts";
export { eraseMesh } from "./nats/erase-mesh.ts";
export { DEFAULT_SERVER, parseServers } from "./servers.ts";
export type { ServerOptions } from "./servers.ts";
export { probeBroker } from "./nats/broker-probe.ts";
export type { BrokerReport, JetStreamReport, NoJetStream } from "./nats/broker-probe.ts";
export { shutdownSignal } from "./signals.ts";
export type { Call, Client, ClientOptions } from "./client.ts";
export type { CallOptions } from "./route.ts";
export type { MeshStream, StreamOptions } from "./stream-call.ts";
export type { Context, TaskContext } from "./context.ts";
export type { Balance, InstanceLoad, LaneLoad } from "./balance.ts";
export type { SubmitOptions } from "./task-submitter.ts";
export type { TaskEvent } from "./task-events.ts";
export type { TaskHandle, WaitOptions } from "./task-handle.ts";
export type { TaskStatus } from "./task-status.ts";
export type { TaskOptions } from "./tasks.ts";
export type { ListTasksOptions } from "./task-list.ts";
export type { DeadLetters } from "./dead-letters.ts";
export type { DeadLetter, DeadLetterReport } from "./dead-letter.ts";
export type { ListOptions } from "./list-options.ts";
export type { FailedAttempt } from "./task-message.ts";
export type { Handler, Handlers, HostOptions } from "./host.ts";
export type { InstanceReport } from "./instance-report.ts";
export type {
  EventContext,
  EventHandler,
  PublishOptions,
  SubscribeOptions,
  Subscription,
} from "./events.ts";
export type {
  NamedSubscribeOptions,
  ReplayOptions,
  StoredEventContext,
  StoredEventHandler,
  StoredEventValue,
} from "./stored-event.ts";
export type { From } from "./nats/topic-store.ts";
export type { TopicInfo, TopicLag } from "./nats/topic-status.ts";
export type { Bucket, BucketOptions, Entry, PutOptions } from "./bucket.ts";
export type { SharedState, StateChange, StateEntry, WriteStateOptions } from "./shared-state.ts";
export type { ReadStateOptions } from "./state-reads.ts";
export type { Meter } from "./meter.ts";
export type { Lease, LeaseOptions } from "./lease.ts";
export type { Lock, LockInfo, LockOptions } from "./locks.ts";
export type { LockWaiter } from "./lock-queue.ts";
export type { Leader } from "./lease-record.ts";
export type { ElectOptions, Election, Leadership } from "./election.ts";
export type { EntityHandler, EntityHandlers, EntityHostOptions } from "./entity-host.ts";
export type { CommandCall, EntityClient, SendOptions, SentCommandHandle } from "./entity-client.ts";
export type { CommandOptions } from "./entity-call.ts";
export type { EntityContext } from "./command-scope.ts";
export type { ShardInfo } from "./shards.ts";
export type { InstanceInfo, MembershipChange } from "./directory.ts";
export type { HttpOptions } from "./observability.ts";
export type { TappedMessage } from "./tap.ts";
export type { Logger } from "./log.ts";
export type { FollowOptions, JournalClient, ReadOptions } from "./journal-client.ts";
export type { AppendOf, AppendOptions, Appended, Expected } from "./journal-append.ts";
export type { EventId, JournalEvent, NewEvent } from "./journal-record.ts";
export type { Following, Position } from "./journal-follower.ts";
export type { Place } from "./record-reader.ts";
export type { CompactOptions, Compacted } from "./journal-compact.ts";
export type { EntityEvent } from "./event-source.ts";
export type { Projection, ProjectionProgress, ProjectionSpec } from "./projection.ts";
export type { EntityPast, EntityState } from "./entity-past.ts";
export { checkArchive } from "./journal-transfer.ts";
export type { JournalCatalog, TransferOptions, TransferProgress } from "./journal-transfer.ts";
export type { ArchiveSummary } from "./journal-archive.ts";
export type { JournalInfo } from "./nats/journal-store.ts";
export { Workspace } from "./workspace.ts";
export type { TransactOptions } from "./workspace-attempts.ts";
export type { WorkspaceOptions, WorkspaceSubscription, WriteOptions } from "./workspace.ts";
export type { CommitOptions, CommitResult, WorkspaceConflict } from "./workspace-committer.ts";
export type {
  ExplainedClash,
  MergeInput,
  SemanticMerge,
  StrategyOption,
} from "./workspace-decision.ts";
export type { WorkspaceContent, WorkspaceFile, WorkspaceTree } from "./workspace-files.ts";
export { checkoutTree } from "./workspace-checkout.ts";
export type { CheckoutReport } from "./workspace-checkout.ts";
export { exportToGit } from "./workspace-git.ts";
export type { GitReport } from "./workspace-git.ts";
export { importTree } from "./workspace-import.ts";
export type { ImportOptions, ImportReport } from "./workspace-import.ts";
export type { BlameLine, FileDiff } from "./workspace-history.ts";
export type { StoredCommit } from "./workspace-journal.ts";
export type { WorkspaceTransaction, WorkspaceUpdate } from "./workspace-transaction.ts";
export type { ThreadStore, ThreadSummary } from "./thread-store.ts";
