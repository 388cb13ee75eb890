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
export type { CompileOptions, InvokeOptions, RunResult } from "./graph-options.ts";
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
export { supervisor } from "./patterns/supervisor.ts";
export type { SupervisorOptions } from "./patterns/supervisor.ts";
export { network } from "./patterns/network.ts";
export type { NetworkAgentSpec, NetworkChannels, NetworkOptions } from "./patterns/network.ts";
export { sequential } from "./patterns/sequential.ts";
export type { SequentialOptions } from "./patterns/sequential.ts";
export { concurrent } from "./patterns/concurrent.ts";
export type {
  AggregateInput,
  ConcurrentChannels,
  ConcurrentOptions,
} from "./patterns/concurrent.ts";
export type { AgentAnswer, Collected } from "./patterns/answers.ts";
export { debate } from "./patterns/debate.ts";
export type { DebateChannels, DebateOptions, JudgeInput } from "./patterns/debate.ts";
export { contractNet } from "./patterns/contract-net.ts";
export type {
  Bid,
  ContractNetChannels,
  ContractNetOptions,
  Contractor,
  Outcome,
  Proposed,
  Rejection,
} from "./patterns/contract-net.ts";
export { reaction } from "./patterns/reaction.ts";
export type {
  EventKinds,
  FailedReaction,
  NewEvent,
  PublishedEvent,
  ReactionChannels,
  ReactionOptions,
  Subscriber,
} from "./patterns/reaction.ts";
export { conversation, lastText } from "./patterns/conversation.ts";
export type { ChatMessage, NewChatMessage, ToolCall, ToolResult } from "./patterns/conversation.ts";
export { estimateTokens, fitTokens } from "./patterns/sharing.ts";
export type { SharingOptions } from "./patterns/sharing.ts";
export { handoff, handoffTool } from "./patterns/handoff.ts";
export type { Handoff, Peer, ToolSpec } from "./patterns/handoff.ts";
export { modelAgent } from "./patterns/model-agent.ts";
export type { AgentTool, ChatModels, ModelAgentOptions } from "./patterns/model-agent.ts";
export { capabilityAgent, taskAgent } from "./patterns/remote-agents.ts";
export type {
  AgentFunction,
  AgentInput,
  AgentReply,
  AgentSpec,
  Agents,
  ConversationChannels,
  ConversationInput,
  ConversationOutput,
  FailureOptions,
  PatternGraph,
  PatternOptions,
  Team,
} from "./patterns/agent.ts";
