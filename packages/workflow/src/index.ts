export { StateGraph } from "./graph.ts";
export type { GraphOptions } from "./graph.ts";
export type {
  CommonOptions,
  NodeFunction,
  NodeOptions,
  NodeReturn,
  SubgraphOptions,
} from "./node.ts";
export { Command, END, START, Send } from "./command.ts";
export type { Goto } from "./command.ts";
export { append, messages, reduced, removeMessage, sum } from "./channel.ts";
export type { Channel, Channels, Message, NewMessage, StateOf, UpdateOf } from "./channel.ts";
export type { NodeContext, RouteContext } from "./context.ts";
export type { BreakpointOptions } from "./breakpoint.ts";
export { CompiledGraph } from "./compiled-graph.ts";
export type { CompileOptions, InvokeOptions, RunResult } from "./compiled-graph.ts";
export type { BusyPolicy } from "./busy.ts";
export type { Interrupt, PendingWait } from "./interrupt.ts";
export type { StreamItem, StreamMode } from "./stream.ts";
export { diffStates } from "./history.ts";
export type { StateDifference, StateSnapshot } from "./history.ts";
export type { Migration } from "./migration.ts";
export { MemoryCache } from "./cache.ts";
export type { Cache } from "./cache.ts";
export { MemoryCheckpointer } from "./memory-checkpointer.ts";
export { MAX_PART_BYTES } from "@plexus/core";
export type {
  Checkpointer,
  OwnedThread,
  ReadRange,
  StoredRecord,
  StoredSnapshot,
  StoredThread,
  ThreadState,
} from "@plexus/core";
export type { DurabilityMode } from "./run-log.ts";
export type { RunStatus } from "./run.ts";
export { agentNode, commandNode, taskNode } from "./remote-nodes.ts";
export type { Caller, Commander, Submitter } from "./remote-nodes.ts";
export { hostGraph } from "./graph-host.ts";
export { graphContract, graphOf } from "./graph-contract.ts";
export type { GraphDescription } from "./graph-contract.ts";
export type { GraphHostOptions, GraphMesh, HostedGraph } from "./graph-port.ts";
export { remoteGraph } from "./remote-graph.ts";
export type { RemoteGraph, RemoteOptions } from "./remote-graph.ts";
