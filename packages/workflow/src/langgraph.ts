export { langGraphContract } from "./langgraph-contract.ts";
export type {
  LangGraphChunk,
  LangGraphMode,
  LangGraphResume,
  LangGraphState,
} from "./langgraph-contract.ts";
export { langGraphHandlers } from "./langgraph-handlers.ts";
export type { LangGraph, LangGraphOptions } from "./langgraph-runs.ts";
