export { startBroker } from "./broker.ts";
export { findBroker } from "./find-broker.ts";
export { spawnNode } from "./spawn-node.ts";
export type { Broker, BrokerOptions } from "./broker.ts";
export type { BrokerConfig } from "./broker-config.ts";
export type { BrokerBinary, BrokerSource, FindBrokerOptions } from "./find-broker.ts";
export type { Exit } from "./guard.ts";
export type { NodeProcess, SpawnNodeOptions } from "./spawn-node.ts";
