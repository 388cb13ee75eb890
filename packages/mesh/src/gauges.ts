import type { Directory } from "./directory.ts";
import type { HostedEntity } from "./entity-host.ts";
import type { CellFamily } from "./histogram.ts";
import type { HostedAgent } from "./host.ts";
import type { Metrics } from "./metrics.ts";

/** What is counted when somebody scrapes. */
export interface Gauged {
  readonly agents: Iterable<HostedAgent>;
  readonly entities: Iterable<HostedEntity>;
  /** Tasks being worked on, by agent. */
  readonly tasks: Iterable<readonly [agent: string, running: number]>;
  readonly directory: Directory;
}

/** Sets the gauges to what they are now; a label whose last instance has gone is 0. */
export function refreshGauges(metrics: Metrics, now: Gauged): void {
  const { inflight, queueDepth, partitionsOwned, activeKeys, tasksRunning, instances } = metrics;
  const families: CellFamily[] = [inflight, queueDepth, partitionsOwned, activeKeys, tasksRunning];
  for (const family of [...families, instances]) {
    for (const { cell } of family.cells) cell.value = 0;
  }
  for (const { contract, gate } of now.agents) {
    const labels = { agent: contract.name };
    inflight.with(labels).value += gate.running;
    queueDepth.with(labels).value += gate.queued;
  }
  for (const { contract, running, partitions, keys } of now.entities) {
    const labels = { agent: contract.name };
    inflight.with(labels).value += running;
    partitionsOwned.with(labels).value += partitions;
    activeKeys.with(labels).value += keys;
  }
  for (const [agent, running] of now.tasks) tasksRunning.with({ agent }).value += running;
  for (const [agent, count] of now.directory.counts()) instances.with({ agent }).value = count;
}
