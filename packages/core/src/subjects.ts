import { MeshError } from "./errors.ts";
import { token } from "./token.ts";

/** The subjects of one mesh (the wire contract's table). Arguments are tokens already. */
export interface Subjects {
  readonly mesh: string;
  /** Call any instance (queue group {@link RPC_QUEUE}). */
  rpc(agent: string, capability: string): string;
  /** Call the instance that placement chose. */
  rpcInstance(agent: string, capability: string, instance: string): string;
  /** Call the owner of a partition; `command` may be a wildcard. */
  rpcPartition(entity: string, command: string, partition: number): string;
  /** The durable commands of a partition. */
  command(entity: string, partition: number): string;
  /** Where the broker tells of each durable command that it has stored. */
  commandStored(entity: string, partition: number): string;
  /** The recorded commands and events of an entity's key; `key` is one token, or a wildcard. */
  log(entity: string, partition: number, key: string): string;
  /** The recorded commands and events of all keys of an entity. */
  logOf(entity: string): string;
  /** What is recorded in a journal; `key` is one token, or a wildcard. */
  journal(journal: string, key: string): string;
  /** The folded state of a key up to some record. */
  snapshot(entity: string, partition: number, key: string): string;
  /** A part of a content that workspaces name by its hash. */
  blob(hash: string, part: number): string;
  /** Publish–subscribe; `topic` may hold several tokens or wildcards. */
  event(topic: string): string;
  /** Notes on the events of a durable topic that a named subscription has given up; `topic` is one token. */
  skipped(topic: string, subscription: string): string;
  /** Control messages to one instance: cancel, credit, drain, describe, ping. */
  control(instance: string): string;
  /** Prefix of the reply subjects of one client. */
  inbox(client: string): string;
  /** A task that waits or is worked on; `priority` is `retry` for one that is due later. */
  task(agent: string, capability: string, priority: string, tenant: string, id: string): string;
  /** The recorded result of a task. */
  done(task: string): string;
  /** A dead letter. */
  dead(agent: string, capability: string, task: string): string;
  /** The recorded value of one effect of a task. */
  effect(task: string, name: string): string;
  /** What happens to the tasks that one client submitted. */
  taskEvents(client: string): string;
  /** Results of the tasks that one client submitted, on their way to the stream that records them. */
  taskResults(client: string): string;
  /** Where the broker confirms to a client, and to the host, that the result which this host sent at this time is recorded. */
  recorded(client: string, host: string, task: string, sentAt: string): string;
  /** Asks every process about a task, or to stop working on it. */
  taskControl(verb: string): string;
  /** Where the broker tells of writes to a bucket; `key` is one token, or nothing for the prefix of all. */
  bucket(bucket: string, key: string): string;
  /** Where a shared state keeps something of itself. */
  state(state: string, part: string): string;
  /** Where the broker tells of what it has stored of a shared state. */
  stateStored(state: string, part: string): string;
  /** Somebody looks on: asks every process to copy its messages, events excepted, to {@link copy}. */
  readonly onlookers: string;
  /** Where the copy of a message to `subject` goes while somebody looks on. */
  copy(subject: string): string;
}

/** The queue group in which all instances of an agent share the calls addressed to none in particular. */
export const RPC_QUEUE = "rpc";

/** Builds the subjects of mesh `name`. Throws `INVALID_CONTRACT` unless it is one token other than `_INBOX`. */
export function createSubjects(name: string): Subjects {
  const mesh = token("Mesh name", name);
  if (mesh === "_INBOX") {
    throw new MeshError(
      "INVALID_CONTRACT",
      "A mesh called _INBOX would hear every mesh's answers.",
    );
  }
  return {
    mesh,
    rpc: (agent, capability) => `${mesh}.rpc.${agent}.${capability}`,
    rpcInstance: (agent, capability, instance) =>
      `${mesh}.rpc.${agent}.${capability}.i.${instance}`,
    rpcPartition: (entity, command, partition) => `${mesh}.rpc.${entity}.${command}.p.${partition}`,
    command: (entity, partition) => `${mesh}.cmd.${entity}.${partition}`,
    commandStored: (entity, partition) => `${mesh}.stored.cmd.${entity}.${partition}`,
    log: (entity, partition, key) => `${mesh}.log.${entity}.${partition}.${key}`,
    logOf: (entity) => `${mesh}.log.${entity}.*.*`,
    journal: (journal, key) => `${mesh}.journal.${journal}.${key}`,
    snapshot: (entity, partition, key) => `${mesh}.snap.${entity}.${partition}.${key}`,
    blob: (hash, part) => `${mesh}.blob.${hash}.${part}`,
    event: (topic) => `${mesh}.evt.${topic}`,
    skipped: (topic, subscription) => `${mesh}.skip.${topic}.${subscription}`,
    control: (instance) => `${mesh}.ctl.${instance}`,
    inbox: (client) => `_INBOX.${mesh}.${client}`,
    task: (agent, capability, priority, tenant, id) =>
      `${mesh}.task.${agent}.${capability}.${priority}.${tenant}.${id}`,
    done: (task) => `${mesh}.done.${task}`,
    dead: (agent, capability, task) => `${mesh}.dead.${agent}.${capability}.${task}`,
    effect: (task, effect) => `${mesh}.effect.${task}.${effect}`,
    taskEvents: (client) => `${mesh}.ctl.tasks.${client}`,
    taskResults: (client) => `${mesh}.ctl.results.${client}`,
    recorded: (client, host, task, sentAt) =>
      `${mesh}.ctl.recorded.${client}.${host}.${task}.${sentAt}`,
    taskControl: (verb) => `${mesh}.ctl.task.${verb}`,
    bucket: (bucket, key) => `${mesh}.kv.${bucket}.${key}`,
    state: (state, part) => `${mesh}.state.${state}.${part}`,
    stateStored: (state, part) => `${mesh}.stored.state.${state}.${part}`,
    onlookers: `${mesh}.tap`,
    copy: (subject) => `${mesh}.tap.${subject}`,
  };
}
