import { setTimeout as sleep } from "node:timers/promises";
import {
  MeshError,
  backoffMs,
  decodePayload,
  isMeshError,
  resolveRetry,
  toMeshError,
  type Entity,
  type Envelope,
  type RecordedEvent,
} from "@plexus/core";
import type { ActiveKey } from "./active-key.ts";
import { nowMs } from "./clock.ts";
import { CommandScope, type EntityContext } from "./command-scope.ts";
import { isThenable, orCanceled, runInScope } from "./context.ts";
import type { SentCommand } from "./entity-command.ts";
import type { Outcome } from "./entity-record.ts";
import { explain } from "./route.ts";
import type { Logger } from "./log.ts";
import { isMoved } from "./partition-log.ts";
import type { Execution } from "./underway.ts";

/** A handler with its types erased. */
export type CommandHandler = (input: unknown, context: EntityContext) => unknown;

/** A command that arrived, to be executed once. */
export interface Arrived {
  readonly command: SentCommand;
  readonly envelope: Envelope;
  readonly key: string;
  readonly name: string;
  /** Of a durable one: its place in the stream of commands. */
  readonly sequence?: number;
}

/** Where commands are executed. */
export interface ExecutionSite {
  readonly contract: Entity;
  readonly handlers: ReadonlyMap<string, CommandHandler>;
  readonly log: Logger;
  /** Fires, for the reason that the partition has moved, when what has not begun is not to begin any more. */
  readonly stopping: AbortSignal;
}

const RETRY = resolveRetry();

/**
 * Executes a command whose turn it is, unless it has been recorded before, and records it. A durable one that fails with a
 * retryable error is tried again; how it ends is recorded in any case. A direct one that fails, or emits nothing, leaves no record.
 */
export async function executeOnce(
  site: ExecutionSite,
  active: ActiveKey,
  arrived: Arrived,
  execution: Execution,
): Promise<Outcome> {
  const { command, sequence } = arrived;
  if (active.remembers(command.id)) return (await active.recorded(command.id)).outcome;
  if (command.input === undefined) {
    const { name } = site.contract;
    const text = `No command ${command.id} of ${name} ${active.key} is remembered.`;
    return { error: new MeshError("NO_TASK", text).toJSON() };
  }
  for (let attempt = 1; ; attempt++) {
    const { deadlineMs } = execution;
    const scope = new CommandScope(active, command.id, arrived.envelope, deadlineMs, site.log);
    const outcome = await handle(site, scope, arrived, execution);
    const failed = "error" in outcome;
    const again = failed && outcome.error.retryable && sequence !== undefined;
    if (!again || attempt >= RETRY.attempts) {
      return record(active, scope, arrived, outcome);
    }
    const pause = backoffMs(RETRY.backoff, attempt, Math.random);
    await sleep(pause, undefined, { signal: site.stopping }).catch(() => {
      throw site.stopping.reason;
    });
  }
}

/** Runs the handler. Rejects only when it was told to stop because its process is not the owner any more. */
async function handle(
  { contract, handlers }: ExecutionSite,
  scope: CommandScope,
  { name, command }: Arrived,
  execution: Execution,
): Promise<Outcome> {
  execution.scope = scope;
  try {
    if (execution.canceled) throw execution.canceled;
    const spec = Object.hasOwn(contract.commands, name) ? contract.commands[name] : undefined;
    const handler = handlers.get(name);
    if (spec === undefined || handler === undefined) {
      throw new MeshError("NO_CAPABILITY", `Entity ${contract.name} has no command ${name}.`);
    }
    if (scope.deadlineMs <= nowMs()) {
      throw new MeshError("DEADLINE_EXCEEDED", `${name}: the deadline passed before its turn.`);
    }
    const parsed = spec.input.safeParse(command.input && decodePayload(command.input));
    if (!parsed.success) {
      const details = parsed.error.issues;
      const text = `${contract.name}.${name}: ${explain(parsed.error)}`;
      throw new MeshError("INVALID_INPUT", text, { details });
    }
    const result = runInScope(scope, handler, parsed.data, scope);
    return { output: isThenable(result) ? await orCanceled(scope, result) : result };
  } catch (thrown) {
    if (isMoved(execution.canceled)) throw execution.canceled;
    const error = scope.canceled && !isMeshError(thrown) ? scope.canceled : toMeshError(thrown);
    return { error: error.toJSON() };
  } finally {
    scope.ended = true;
    execution.scope = undefined;
  }
}

async function record(
  active: ActiveKey,
  scope: CommandScope,
  arrived: Arrived,
  outcome: Outcome,
): Promise<Outcome> {
  const failed = "error" in outcome;
  const durable = arrived.sequence !== undefined;
  if (!durable && (failed || scope.events.length === 0)) return outcome;
  try {
    if (failed) await append(active, arrived, active.state, [], outcome);
    else await append(active, arrived, scope.state, scope.events, outcome);
    return outcome;
  } catch (cause) {
    if (isMoved(cause)) throw cause;
    const { code, message } = toMeshError(cause); // it cannot travel, or is too large: nothing is recorded
    const error = new MeshError(code, `It cannot be recorded: ${message}`);
    return durable ? recordFailure(active, arrived, error) : { error: error.toJSON() };
  }
}

/** Records that a durable command has ended without being executed. */
export async function recordFailure(
  active: ActiveKey,
  arrived: Arrived,
  error: MeshError,
): Promise<Outcome> {
  const outcome = { error: error.toJSON() };
  await append(active, arrived, active.state, [], outcome);
  return outcome;
}

async function append(
  active: ActiveKey,
  { command: { id }, name: command, sequence: durable, envelope }: Arrived,
  state: unknown,
  events: readonly RecordedEvent[],
  outcome: Outcome,
): Promise<void> {
  const { key, version: previous } = active;
  const what = { id, key, command, durable, previous, events, outcome };
  const version = await active.log.append(active.token, what, envelope.trace);
  active.advance(id, version, state);
}
