export { openModels } from "./models.ts";
export type { Models, ModelsOptions } from "./models.ts";
export type { Answer, Ask, CallOptions } from "./answer.ts";
export type { AnswerStream } from "./answer-stream.ts";
export { environmentGroups } from "./environment.ts";
export type { DeploymentSpec, Price } from "./deployment-spec.ts";
export type { GroupSpec } from "./group.ts";
export type { Strategy } from "./router.ts";
export { FAILURES } from "./failure.ts";
export type { FailureKind, FailureRule } from "./failure.ts";
export { budgetBucket, listBudgets, readBudget, releaseBudget, setBudget } from "./budgets.ts";
export type {
  BudgetAlert,
  BudgetLimit,
  BudgetOptions,
  BudgetReport,
  BudgetScope,
} from "./budgets.ts";
export type { Amount } from "./amount.ts";
export type { CacheOptions, CacheOutcome } from "./cache.ts";
export { readHealth } from "./health.ts";
export type { HealthReport } from "./health.ts";
export { readUsage, usageBucket } from "./usage-ledger.ts";
export type { UsageRow } from "./usage-ledger.ts";
export { agentTool, tool } from "./tool.ts";
export type { Caller, Tool, ToolContext } from "./tool.ts";
export type { Effects, LoopAnswer, LoopAsk, LoopEvent, LoopOptions } from "./tool-loop.ts";
export { localFleet } from "./local-fleet.ts";
export type { Bucket, BucketOptions, Cell, Entry, Family, Fleet, Meter } from "./fleet.ts";
export type { Log } from "./log.ts";
export type {
  FinishReason,
  JsonSchema,
  Message,
  ModelRequest,
  ToolCall,
  ToolResult,
  ToolSpec,
  Usage,
} from "./model.ts";
