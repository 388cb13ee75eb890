export { startBroker } from "./broker.ts";
export { startCluster } from "./cluster.ts";
export { findBroker } from "./find-broker.ts";
export { checkLinearizability } from "./linearizability.ts";
export { pickPort } from "./port.ts";
export { ManualClock } from "./manual-clock.ts";
export { startModelServer } from "./model-server.ts";
export { startProxy } from "./proxy.ts";
export { seededRandom } from "./seeded-random.ts";
export { spawnNode } from "./spawn-node.ts";
export type { Broker, BrokerOptions } from "./broker.ts";
export type { BrokerConfig } from "./broker-config.ts";
export type { Cluster, ClusterOptions } from "./cluster.ts";
export type { BrokerBinary, BrokerSource, FindBrokerOptions } from "./find-broker.ts";
export type { Exit } from "./guard.ts";
export type { Model, Operation, Verdict } from "./linearizability.ts";
export type { Clock } from "./manual-clock.ts";
export type { ModelServer, ModelServerOptions, StubCall, StubScript } from "./model-server.ts";
export type {
  StubBehaviour,
  StubFaults,
  StubLatency,
  StubReply,
  StubToolCall,
} from "./model-behaviour.ts";
export type { StubRequest } from "./model-request.ts";
export type { Direction, Proxy, ProxyOptions } from "./proxy.ts";
export type { NodeProcess, SpawnNodeOptions } from "./spawn-node.ts";
