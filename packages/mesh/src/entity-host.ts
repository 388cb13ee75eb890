import { setTimeout as sleep } from "node:timers/promises";
import {
  KINDS,
  MeshError,
  describeEntity,
  fromWireError,
  isMeshError,
  partitionOf,
  readFrame,
  toMeshError,
  toTimerMs,
  type Command,
  type Duration,
  type Entity,
  type Envelope,
} from "@plexus/core";
import type { z } from "zod";
import { sendAnswer } from "./answer.ts";
import { nowMs, nowUs } from "./clock.ts";
import type { EntityContext } from "./command-scope.ts";
import type { InstanceInfo } from "./directory.ts";
import { partitionTarget } from "./entity-call.ts";
import { readSentCommand } from "./entity-command.ts";
import type { Outcome } from "./entity-record.ts";
import type { EntityServices } from "./entity-services.ts";
import type { HostedPartition, PartitionHome, PartitionMaker } from "./hosted-partition.ts";
import { requestReport, type InstanceReport } from "./instance-report.ts";
import type { RequestMetrics } from "./metrics.ts";
import type { LeaseStore } from "./nats/lease-store.ts";
import type { LinkSubscription } from "./nats/link.ts";
import { isMoved } from "./partition-log.ts";
import { RollCall } from "./roll-call.ts";
import { noteBadMessage, type Runtime } from "./runtime.ts";
import { ShardDriver, type ShardWork } from "./shard-driver.ts";

/** The handler of one command. */
export type EntityHandler<E extends Entity, C extends Command> = (
  input: z.output<C["input"]>,
  context: EntityContext<E>,
) => z.input<C["output"]> | Promise<z.input<C["output"]>>;

/** One handler per command of the contract. */
export type EntityHandlers<E extends Entity> = {
  readonly [K in keyof E["commands"]]: EntityHandler<E, E["commands"][K]>;
};

/** How an instance owns partitions. */
export interface EntityHostOptions {
  /** Share of the partitions relative to other instances. Default 1. */
  readonly weight?: number;
  /** How long a key that nobody uses stays in memory. Default 5 min. */
  readonly passivateAfter?: Duration;
  /** How long a drain waits until everything is handed over. Default 30 s. */
  readonly drainTimeout?: Duration;
}

interface Owned {
  partition: HostedPartition;
  subscriptions: LinkSubscription[];
}

interface ServedCommand {
  readonly name: string;
  readonly capability: Command;
  readonly metrics: RequestMetrics;
}

const DEFAULT_TIMEOUT_MS = 30_000; // of a caller that names no deadline
const REOPEN_PAUSE_MS = 100;
const LEAVE_MS = 1_000; // for the registry: without it, too, the leases tell that this instance leaves

/** One instance of an entity: owns some of its partitions and executes their commands. */
export class HostedEntity implements PartitionHome {
  readonly services: EntityServices;
  readonly contract: Entity;
  readonly info: InstanceInfo;
  readonly instance: string;
  readonly served = new Map<string, ServedCommand>();
  readonly #make: PartitionMaker;
  readonly #runtime: Runtime;
  readonly #driver: ShardDriver;
  readonly #drainTimeoutMs: number;
  readonly #leave: () => Promise<void>;
  readonly #owned = new Map<number, Owned>();
  #running = 0;
  #control: LinkSubscription | undefined;
  #draining: Promise<void> | undefined;

  constructor(
    services: EntityServices,
    leases: LeaseStore,
    expel: (instance: string) => void,
    contract: Entity,
    make: PartitionMaker,
    options: EntityHostOptions,
    info: InstanceInfo,
    leave: () => Promise<void>,
  ) {
    this.services = services;
    this.contract = contract;
    this.info = info;
    this.instance = info.instance;
    this.#runtime = services.runtime;
    this.#leave = leave;
    this.#make = make;
    this.#drainTimeoutMs = toTimerMs(options.drainTimeout ?? "30s");
    for (const [name, capability] of Object.entries(contract.commands)) {
      const metrics = services.runtime.metrics.requests(contract.name, name, "server");
      this.served.set(name, { name, capability, metrics });
    }
    const self = { id: info.instance, weight: info.weight };
    const work: ShardWork = {
      start: (partition, epoch) => this.#start(partition, epoch),
      quiesce: (partition, quiesced) => this.#quiesce(partition, quiesced),
      drop: (partition) => this.#drop(partition),
      tick: (now) => {
        for (const { partition } of this.#owned.values()) partition.tick(now);
      },
    };
    const { runtime } = services;
    const rollCall = new RollCall(runtime, contract.name, info.instance, expel);
    this.#driver = new ShardDriver(runtime, leases, contract, self, work, rollCall);
  }

  get draining(): boolean {
    return this.#draining !== undefined;
  }

  /** Commands being executed or waiting. */
  get running(): number {
    return this.#running;
  }

  /** Partitions owned. */
  get partitions(): number {
    return this.#owned.size;
  }

  /** Keys in memory. */
  get keys(): number {
    let keys = 0;
    for (const { partition } of this.#owned.values()) keys += partition.size;
    return keys;
  }

  /** Can be reached, but owns nothing yet. */
  listen(): void {
    const { link, subjects } = this.#runtime;
    this.#control = link.subscribe(subjects.control(this.instance), (data, subject, reply) =>
      this.#read(data, subject, (envelope) => this.#obey(envelope, reply)),
    );
  }

  /** Takes part in owning partitions. */
  join(): void {
    this.#driver.start();
  }

  /** Hands every partition over, each with all its commands recorded or not begun, and leaves. */
  drain(): Promise<void> {
    return (this.#draining ??= this.#drain());
  }

  connectionLost(): void {
    this.#driver.disconnected();
  }

  connectionRestored(): void {
    this.#driver.sync();
    for (const { partition } of this.#owned.values()) partition.restored();
  }

  owns(partition: number, epoch: number): boolean {
    return this.#driver.owns(partition, epoch);
  }

  opened(partition: HostedPartition): void {
    const owned = this.#owned.get(partition.partition);
    if (owned?.partition !== partition || owned.subscriptions.length > 0) return;
    const { link, subjects } = this.#runtime;
    const { name: entity } = this.contract;
    owned.subscriptions = [
      link.subscribe(
        subjects.rpcPartition(entity, "*", partition.partition),
        (data, subject, reply) =>
          this.#read(
            data,
            subject,
            (envelope) => void this.#request(owned.partition, envelope, reply),
          ),
        { paced: true },
      ),
      // As paced as requests, or a cancel would overtake the request that it is for.
      link.subscribe(
        subjects.control(partitionTarget(entity, partition.partition)),
        (data, subject) =>
          this.#read(
            data,
            subject,
            ({ name, id }) => name === "cancel" && owned.partition.cancel(id),
          ),
        { paced: true },
      ),
    ];
  }

  /** While the lease is held, it all begins anew. */
  failed(partition: HostedPartition): void {
    setTimeout(() => {
      const owned = this.#owned.get(partition.partition);
      if (owned?.partition !== partition) return;
      owned.partition = this.#make(this, partition.partition, partition.epoch);
      void owned.partition.open();
    }, REOPEN_PAUSE_MS);
  }

  executed(command: string, outcome: Outcome, startedMs: number): void {
    const metrics = this.served.get(command)?.metrics;
    if (metrics === undefined) return;
    if ("error" in outcome) metrics.failed(fromWireError(outcome.error).code).value++;
    else metrics.ok.value++;
    metrics.duration.observe((nowMs() - startedMs) / 1_000);
  }

  report(): InstanceReport {
    return {
      ...this.info,
      description: describeEntity(this.contract),
      running: this.#running,
      queued: 0,
      tasks: undefined,
      shards: { partitions: this.partitions, keys: this.keys },
      draining: this.draining,
      requests: requestReport(this.served.values()),
    };
  }

  async #drain(): Promise<void> {
    const { log } = this.#runtime;
    const left = this.#leave();
    await Promise.race([left, sleep(LEAVE_MS)]);
    const timer = setTimeout(() => {
      log.warn({ instance: this.instance }, "drain timeout: partitions are left to expire");
      this.#driver.close();
    }, this.#drainTimeoutMs);
    await this.#driver.stop();
    clearTimeout(timer);
    await left;
    for (const partition of this.#owned.keys()) this.#drop(partition);
    this.#runtime.outbox.flushTurn();
    await this.#runtime.link.settle();
    this.#control?.unsubscribe();
  }

  #start(partition: number, epoch: number): void {
    const owned = { partition: this.#make(this, partition, epoch), subscriptions: [] };
    this.#owned.set(partition, owned);
    void owned.partition.open();
  }

  #quiesce(partition: number, quiesced: () => void): void {
    const owned = this.#owned.get(partition);
    if (owned === undefined) {
      quiesced();
      return;
    }
    // What has arrived already is told that the partition has moved.
    for (const subscription of owned.subscriptions) void subscription.drain();
    owned.partition.quiesce(quiesced);
  }

  #drop(partition: number): void {
    const owned = this.#owned.get(partition);
    if (owned === undefined) return;
    this.#owned.delete(partition);
    for (const subscription of owned.subscriptions) void subscription.drain();
    owned.partition.abort();
  }

  /** Whatever is thrown into the connection would end its reading, so nothing is. */
  #read(data: Uint8Array, subject: string, visit: (envelope: Envelope) => unknown): void {
    if (data.length === 0) return; // a caller's liveness probe: that it arrived is the answer
    try {
      readFrame(data, visit);
    } catch (error) {
      noteBadMessage(this.#runtime, error, subject);
    }
  }

  async #request(
    partition: HostedPartition,
    envelope: Envelope,
    reply: string | undefined,
  ): Promise<void> {
    const startedMs = nowMs();
    const { name, id, deadline, sentAt } = envelope;
    const answer = { id, reply, name };
    this.#runtime.metrics.requestLatency.observe(Math.max(0, nowUs() - sentAt) / 1e6);
    this.#running++;
    let outcome: Outcome;
    let counts = true;
    try {
      if (envelope.kind !== KINDS.request) {
        throw new MeshError("BAD_MESSAGE", "Only requests belong on this subject.");
      }
      const key = this.#demandKeyOf(partition, envelope);
      const timeoutMs = deadline === undefined ? DEFAULT_TIMEOUT_MS : (deadline - sentAt) / 1_000;
      const command = readSentCommand(envelope);
      counts = command.input !== undefined; // else it asks for the outcome of another one
      const arrived = { command, envelope, key, name };
      outcome = await partition.execute(arrived, startedMs + timeoutMs);
    } catch (thrown) {
      if (isMeshError(thrown, "BAD_MESSAGE")) noteBadMessage(this.#runtime, thrown);
      outcome = { error: toMeshError(thrown).toJSON() };
    }
    this.#running--;
    if (counts && !("error" in outcome && isMoved(fromWireError(outcome.error)))) {
      this.executed(name, outcome, startedMs);
    }
    const told =
      "error" in outcome
        ? { kind: KINDS.error, value: outcome.error }
        : { kind: KINDS.response, value: outcome.output };
    sendAnswer(this.#runtime, this.instance, this.#running, { ...answer, ...told });
  }

  #demandKeyOf({ partition }: HostedPartition, { recipient: key = "" }: Envelope): string {
    const { name: entity, partitions } = this.contract;
    if (partitionOf(key, partitions) === partition) return key;
    const text = `Entity ${entity} has ${partitions} partitions here, and its caller takes it for another number.`;
    throw new MeshError("INVALID_CONTRACT", text);
  }

  #obey(envelope: Envelope, reply: string | undefined): void {
    const { id, name, kind } = envelope;
    const answer = { id, reply, name, kind: KINDS.response };
    if (kind === KINDS.control && name === "describe") {
      sendAnswer(this.#runtime, this.instance, this.#running, { ...answer, value: this.report() });
    } else if (kind === KINDS.control && name === "drain") {
      sendAnswer(this.#runtime, this.instance, this.#running, { ...answer, value: null });
      void this.drain().catch((error: unknown) =>
        this.#runtime.log.error({ err: error }, "drain failed"),
      );
    } else {
      noteBadMessage(this.#runtime, new MeshError("BAD_MESSAGE", `No control verb ${name}.`));
    }
  }
}
