import { Registry } from "prom-client";
import {
  fastCounter,
  fastGauge,
  fastHistogram,
  type Cell,
  type CellFamily,
  type HistogramCell,
  type HistogramFamily,
} from "./histogram.ts";

// Seconds. Dense where agents live (0.1 ms to 100 ms), wide enough for model calls of minutes.
const LATENCY_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  30, 60,
];

/** Requests of one capability, seen from one side. */
export interface RequestMetrics {
  readonly duration: HistogramCell;
  readonly ok: Cell;
  failed(code: string): Cell;
}

/** Tasks of one capability that ended here. */
export interface TaskMetrics {
  readonly duration: HistogramCell;
  readonly ok: Cell;
  failed(code: string): Cell;
}

/** Every metric of one mesh connection. Labels come from contracts and fixed sets, never from ids. */
export class Metrics {
  readonly registry = new Registry();
  readonly badMessages: CellFamily;
  readonly published: CellFamily;
  readonly appended: CellFamily;
  readonly received: CellFamily;
  readonly lost: CellFamily;
  readonly handlerErrors: CellFamily;
  readonly redelivered: CellFamily;
  readonly givenUp: CellFamily;
  readonly retries: CellFamily;
  readonly taskRetries: CellFamily;
  readonly taskReassigned: CellFamily;
  readonly taskSurplus: CellFamily;
  readonly deadLetters: CellFamily;
  readonly tasksRunning: CellFamily;
  readonly inflight: CellFamily;
  readonly queueDepth: CellFamily;
  readonly instances: CellFamily;
  readonly partitionsOwned: CellFamily;
  readonly activeKeys: CellFamily;
  readonly frames: Cell;
  readonly frameEnvelopes: Cell;
  readonly reconnects: Cell;
  readonly connected: Cell;
  readonly #tasks: CellFamily;
  readonly #taskDuration: HistogramFamily;
  readonly #duration: HistogramFamily;
  readonly #requests: CellFamily;
  readonly requestLatency: HistogramCell;
  readonly responseLatency: HistogramCell;
  readonly eventLatency: HistogramCell;

  constructor(refresh: (metrics: Metrics) => void) {
    const { registry } = this;
    const counter = (name: string, help: string, labels: string[] = []) =>
      fastCounter(registry, name, help, labels);
    this.#duration = fastHistogram(
      registry,
      "plexus_request_duration_seconds",
      "Time from request to answer, as the client or the server side saw it",
      ["agent", "capability", "side"],
      LATENCY_BUCKETS,
    );
    this.#requests = counter("plexus_requests_total", "Requests by outcome (ok or an error code)", [
      "agent",
      "capability",
      "side",
      "outcome",
    ]);
    const latency = fastHistogram(
      registry,
      "plexus_message_latency_seconds",
      "From the sender's clock to the receiver's",
      ["kind"],
      LATENCY_BUCKETS,
    );
    this.requestLatency = latency.with({ kind: "request" });
    this.responseLatency = latency.with({ kind: "response" });
    this.eventLatency = latency.with({ kind: "event" });
    this.#tasks = counter("plexus_tasks_total", "Tasks that ended here (ok or an error code)", [
      "agent",
      "capability",
      "outcome",
    ]);
    this.#taskDuration = fastHistogram(
      registry,
      "plexus_task_duration_seconds",
      "From the delivery of a task to its recorded result",
      ["agent", "capability"],
      LATENCY_BUCKETS,
    );
    this.taskRetries = counter("plexus_task_retries_total", "Attempts that will be repeated", [
      "agent",
      "capability",
    ]);
    this.taskReassigned = counter(
      "plexus_task_reassignments_total",
      "Tasks executed again here, as their instance was lost or fell silent",
      ["agent", "capability"],
    );
    this.taskSurplus = counter(
      "plexus_task_surplus_executions_total",
      "Executions whose result came too late to be recorded",
      ["agent", "capability"],
    );
    this.deadLetters = counter("plexus_task_dead_letters_total", "Tasks given up, by why", [
      "agent",
      "capability",
      "reason",
    ]);
    this.tasksRunning = fastGauge(registry, "plexus_tasks_running", "Tasks being worked on", [
      "agent",
    ]);
    this.inflight = fastGauge(
      registry,
      "plexus_inflight",
      "Requests being handled",
      ["agent"],
      () => refresh(this),
    );
    this.queueDepth = fastGauge(registry, "plexus_queue_depth", "Requests waiting for a slot", [
      "agent",
    ]);
    this.instances = fastGauge(
      registry,
      "plexus_registry_instances",
      "Live instances this process knows",
      ["agent"],
    );
    this.partitionsOwned = fastGauge(
      registry,
      "plexus_shard_partitions_owned",
      "Partitions of entities that this process owns",
      ["agent"],
    );
    this.activeKeys = fastGauge(
      registry,
      "plexus_entity_keys_active",
      "Keys of entities in memory",
      ["agent"],
    );
    this.badMessages = counter("plexus_bad_messages_total", "Messages refused, by code", ["code"]);
    this.published = counter("plexus_events_published_total", "Events published", ["topic"]);
    this.appended = counter(
      "plexus_journal_appends_total",
      "Appends to journals by outcome (ok or an error code)",
      ["journal", "outcome"],
    );
    this.received = counter("plexus_events_received_total", "Events handed to subscribers", [
      "topic",
    ]);
    this.lost = counter("plexus_events_lost_total", "Events known to be lost, by why", [
      "topic",
      "reason",
    ]);
    this.handlerErrors = counter("plexus_event_handler_errors_total", "Subscribers that threw", [
      "topic",
    ]);
    this.redelivered = counter(
      "plexus_events_redelivered_total",
      "Stored events that were delivered here, and not for the first time",
      ["topic", "subscription"],
    );
    this.givenUp = counter(
      "plexus_events_given_up_total",
      "Stored events that a named subscription has moved past, as they failed too often",
      ["topic", "subscription"],
    );
    this.retries = counter("plexus_retries_total", "Calls tried at another instance, by why", [
      "agent",
      "reason",
    ]);
    this.frames = counter("plexus_frames_total", "NATS messages sent").with({});
    this.frameEnvelopes = counter("plexus_frame_envelopes_total", "Envelopes sent in them").with(
      {},
    );
    this.reconnects = counter("plexus_reconnects_total", "Connections to the broker regained").with(
      {},
    );
    this.connected = fastGauge(
      registry,
      "plexus_connected",
      "1 while connected to the broker",
      [],
    ).with({});
  }

  tasksOf(agent: string, capability: string): TaskMetrics {
    const labels = { agent, capability };
    const outcome = (name: string) => this.#tasks.with({ ...labels, outcome: name });
    return { duration: this.#taskDuration.with(labels), ok: outcome("ok"), failed: outcome };
  }

  requests(agent: string, capability: string, side: "client" | "server"): RequestMetrics {
    const labels = { agent, capability, side };
    const outcome = (name: string) => this.#requests.with({ ...labels, outcome: name });
    return { duration: this.#duration.with(labels), ok: outcome("ok"), failed: outcome };
  }
}
