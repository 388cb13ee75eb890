import {
  MeshError,
  createPlacement,
  type Agent,
  type Capability,
  type PlacementSpec,
} from "@plexus/core";
import type { z } from "zod";
import { routeTimeoutMs, type CallOptions, type Route } from "./route.ts";
import { StreamCall, type MeshStream, type StreamOptions } from "./stream-call.ts";
import { callOnce } from "./unary-call.ts";
import type { Runtime } from "./runtime.ts";

/** A capability as a caller sees it: a function, with `.stream()` when the contract streams. */
export type Call<C extends Capability> = ((
  input: z.input<C["input"]>,
  options?: CallOptions,
) => Promise<z.output<C["output"]>>) &
  (C extends { readonly stream: infer S extends z.ZodType }
    ? {
        stream(
          input: z.input<C["input"]>,
          options?: StreamOptions,
        ): MeshStream<z.output<S>, z.output<C["output"]>>;
      }
    : unknown);

/** An agent as a caller sees it: one function per capability. */
export type Client<A extends Agent> = {
  readonly [K in keyof A["capabilities"]]: Call<A["capabilities"][K]>;
};

/** Options of `mesh.get`. */
export interface ClientOptions {
  /** How an instance is chosen. Default `leastOutstanding`. */
  readonly placement?: PlacementSpec;
}

/** Makes the client of a contract. Each has placement state of its own. */
export function createClient(
  runtime: Runtime,
  contract: Agent,
  options: ClientOptions,
): Record<string, unknown> {
  if (contract?.kind !== "agent") {
    throw new MeshError("INVALID_CONTRACT", "mesh.get() takes a contract made by agent().");
  }
  const client: Record<string, unknown> = {};
  for (const [name, capability] of Object.entries(contract.capabilities)) {
    client[name] = createCall(createRoute(runtime, contract.name, name, capability, options));
  }
  return client;
}

/** What calls of one capability share. */
export function createRoute(
  runtime: Runtime,
  agent: string,
  name: string,
  capability: Capability,
  options: ClientOptions,
): Route {
  return {
    runtime,
    agent,
    name,
    capability,
    placement: createPlacement(options.placement ?? "leastOutstanding"),
    metrics: runtime.metrics.requests(agent, name, "client"),
    subjects: new WeakMap(),
    timeoutMs: routeTimeoutMs(capability),
  };
}

/** Opens a streaming call. */
export function openStream(
  route: Route,
  input: unknown,
  options: StreamOptions = {},
): MeshStream<unknown, unknown> {
  const call = new StreamCall(route, input, options);
  call.start(options.signal);
  return call;
}

function createCall(route: Route): unknown {
  const call = (input: unknown, options?: CallOptions): Promise<unknown> =>
    callOnce(route, input, options);
  if (route.capability.stream === undefined) return call;
  const stream = (input: unknown, options?: StreamOptions): MeshStream<unknown, unknown> =>
    openStream(route, input, options);
  return Object.assign(call, { stream });
}
