import { createHash } from "node:crypto";
import { MeshError } from "@plexus/core";
import { z } from "zod";
import {
  append,
  messages,
  overwrite,
  reduced,
  sum,
  type Channel,
  type ChannelKind,
} from "./channel.ts";
import type { Exits, Join, NodePlan, Plan } from "./plan.ts";

/**
 * A graph as plain data: all that decides how recorded events change a state, without its functions. It is recorded, so that a thread
 * can be read after its graph has changed; and it is what the graph's hash is of.
 */
export interface Skeleton extends Bones {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
}

interface Bones {
  readonly channels: readonly {
    readonly key: string;
    readonly kind: ChannelKind;
    /** Hash of the schema. */
    readonly shape: string;
  }[];
  readonly nodes: readonly NodeBones[];
  readonly next: readonly string[];
  readonly maxSteps: number;
  readonly maxConcurrency: number;
  /** Where conditional edges and commands may lead; it changes nothing that is recorded, but it is another graph. */
  readonly targets: readonly string[];
}

interface NodeBones {
  readonly name: string;
  readonly next: readonly string[];
  readonly joins: readonly Join[];
  readonly targets: readonly string[];
  readonly deferred: boolean;
  readonly concurrency: number;
  readonly maxVisits: number;
  /** How many failures are tolerated. */
  readonly atMost: number;
  readonly compensates: boolean;
  readonly nested?: Skeleton;
}

/** What is left of a graph without its functions. */
export function skeletonOf(plan: Plan): Skeleton {
  return { name: plan.name, version: plan.version, hash: plan.hash, ...bonesOf(plan) };
}

/** The hash of a graph: equal for graphs that record and read alike, in every process. Functions are not part of it. */
export function hashOf(plan: Omit<Plan, "hash">): string {
  return digest(bonesOf(plan));
}

function bonesOf(plan: Omit<Plan, "hash">): Bones {
  return {
    channels: [...plan.channels]
      .map(([key, { kind, schema }]) => ({ key, kind, shape: shapeOf(schema) }))
      .toSorted((a, b) => (a.key < b.key ? -1 : 1)),
    nodes: [...plan.nodes.values()].map(nodeBones).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    next: plan.start.next,
    targets: targetsOf(plan.start),
    maxSteps: plan.maxSteps,
    maxConcurrency: plan.maxConcurrency,
  };
}

function nodeBones(node: NodePlan): NodeBones {
  const { name, next, joins, deferred, concurrency, maxVisits, tolerance, nested } = node;
  return {
    name,
    next,
    joins,
    targets: targetsOf(node),
    deferred,
    concurrency,
    maxVisits,
    atMost: tolerance?.atMost ?? 0,
    compensates: node.compensate !== undefined,
    ...(nested ? { nested: skeletonOf(nested.plan) } : {}),
  };
}

function targetsOf({ routes, ends }: Exits): string[] {
  return [...routes.flatMap(({ targets }) => targets), ...ends].toSorted();
}

const UNUSED = z.unknown();
const BUILT_IN: Record<Exclude<ChannelKind, "reduced">, Channel> = {
  overwrite: overwrite(UNUSED),
  append: append(UNUSED),
  sum: sum(),
  messages: messages(),
};

/**
 * A graph of which only the skeleton is known, good for reading what it has recorded. Reducers of one's own are those of
 * `current`, the graph it has become; one that is gone there throws `GRAPH_CHANGED` when it is needed.
 */
export function planOf(skeleton: Skeleton, current: Plan | undefined): Plan {
  const { name, version, hash, maxSteps, maxConcurrency, next } = skeleton;
  const channels = skeleton.channels.map(({ key, kind }): [string, Channel] => {
    if (kind !== "reduced") return [key, BUILT_IN[kind]];
    const known = current?.channels.get(key);
    return [key, known?.kind === "reduced" ? known : goneChannel(name, key)];
  });
  return {
    name,
    version,
    hash,
    maxSteps,
    maxConcurrency,
    channels: new Map(channels),
    publicKeys: skeleton.channels.map(({ key }) => key).filter((key) => !key.includes(".")),
    nodes: new Map(skeleton.nodes.map((bones) => [bones.name, nodePlan(bones, current)])),
    start: { next, joins: [], routes: [], ends: [] },
    input: undefined,
    output: undefined,
  };
}

/** A graph of which only the name is known, good for reading what it has recorded with the graphs that were recorded with it. */
export function barePlan(name: string): Plan {
  const unlimited = { maxSteps: Infinity, maxConcurrency: Infinity };
  const nothing = { channels: [], nodes: [], next: [], targets: [] };
  return planOf({ name, version: "", hash: "", ...unlimited, ...nothing }, undefined);
}

function nodePlan(bones: NodeBones, current: Plan | undefined): NodePlan {
  const { name, next, joins, deferred, concurrency, maxVisits, atMost, nested } = bones;
  const inner = current?.nodes.get(name)?.nested?.plan;
  return {
    name,
    next,
    joins,
    deferred,
    concurrency,
    maxVisits,
    routes: [],
    ends: [],
    run: undefined,
    nested: nested && { plan: planOf(nested, inner), input: asItIs, output: asItIs },
    input: undefined,
    writes: undefined,
    privates: new Map(),
    retry: undefined,
    timeoutMs: Infinity,
    tolerance: atMost > 0 ? { atMost, instead: asItIs } : undefined,
    cache: undefined,
    compensate: undefined,
  };
}

const asItIs = (value: unknown): unknown => value;

function goneChannel(graph: string, key: string): Channel {
  return reduced(UNUSED, {
    initial: () => undefined as unknown,
    reducer: () => {
      throw new MeshError(
        "GRAPH_CHANGED",
        `Graph ${graph} has no reduced channel ${key} any more, and there are updates of it to merge.`,
      );
    },
  });
}

/** Whether a schema says as much as the one of which a graph's skeleton has kept the hash, as far as that tells. */
export function isSameShape(schema: z.ZodType, shape: string): boolean {
  return shape !== "" && shape !== shapeOf(UNUSED) && shape === shapeOf(schema);
}

function shapeOf(schema: z.ZodType): string {
  try {
    return digest(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));
  } catch {
    return ""; // a catch or lazy schema whose function throws, two schemas that share an id
  }
}

function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 32);
}
