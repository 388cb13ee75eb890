import { MeshError, type Duration, type RetryPolicy } from "@plexus/core";
import { z } from "zod";
import { append, type Channel } from "../channel.ts";
import { Command, END, START, Send } from "../command.ts";
import type { NodeContext } from "../context.ts";
import { StateGraph } from "../graph.ts";
import type { FailureOptions, PatternGraph } from "./agent.ts";
import { demandCount } from "./sharing.ts";

/** Kinds of events and what they hold. */
export type EventKinds = Readonly<Record<string, z.ZodType>>;

/** An event as it is published. */
export type NewEvent<K extends EventKinds> = {
  readonly [Kind in keyof K & string]: { readonly kind: Kind; readonly value: z.input<K[Kind]> };
}[keyof K & string];

/** An event as agents that have subscribed to it see it. */
export type PublishedEvent<K extends EventKinds> = {
  readonly [Kind in keyof K & string]: {
    readonly kind: Kind;
    readonly value: z.output<K[Kind]>;
    readonly id: string;
    /** Who has published it; undefined: whoever started the run. */
    readonly by?: string;
    /** The kinds that have led to it, the oldest first. */
    readonly trail: readonly string[];
  };
}[keyof K & string];

/** An agent that reacts to events. */
export interface Subscriber<K extends EventKinds, On extends keyof K & string = keyof K & string> {
  /** The kinds it subscribes to. */
  readonly on: readonly On[];
  /** Is called once for each event of these kinds, and returns what it publishes itself. */
  react(
    event: Extract<PublishedEvent<K>, { kind: On }>,
    context: NodeContext,
  ): readonly NewEvent<K>[] | void | Promise<readonly NewEvent<K>[] | void>;
  readonly retry?: RetryPolicy;
  /** Of one attempt. */
  readonly timeout?: Duration;
}

/** An agent that has failed to react to an event. */
export interface FailedReaction {
  readonly agent: string;
  /** Id of the event. */
  readonly event: string;
  readonly error: string;
}

/** Options of {@link reaction}. With `onError: "report"`, failures are in the channel `failures`. */
export interface ReactionOptions<
  K extends EventKinds,
  On extends Readonly<Record<string, keyof K & string>>,
> extends FailureOptions {
  /** The graph's name. Default `reaction`. */
  readonly name?: string;
  readonly version?: string;
  /** What can be published. */
  readonly events: K;
  readonly agents: { readonly [Name in keyof On]: Subscriber<K, On[Name]> };
  /** How long a chain of events that lead to each other may be; a longer one fails with `STEP_LIMIT`. Default 25. */
  readonly maxDepth?: number;
  /** Reactions of one agent in one run; one more fails with `STEP_LIMIT`. Default 1,000. */
  readonly maxReactions?: number;
}

/** The channels of {@link reaction}: a run is started with `publish`. */
export type ReactionChannels<K extends EventKinds> = {
  readonly publish: z.ZodType<readonly NewEvent<K>[], readonly NewEvent<K>[]>;
  /** All that was published on the thread, in order. */
  readonly events: Channel<readonly PublishedEvent<K>[], readonly PublishedEvent<K>[]>;
  readonly failures: Channel<readonly FailedReaction[], readonly FailedReaction[]>;
};

const PUBLISH = "publish";

/**
 * Publish–subscribe: agents react to the kinds of events they have subscribed to, and what they publish is reacted to in turn, until
 * nothing more is. Reactions to the events of one step are executed at the same time.
 */
export function reaction<
  K extends EventKinds,
  const On extends Readonly<Record<string, keyof K & string>>,
>(options: ReactionOptions<K, On>): PatternGraph<ReactionChannels<K>> {
  const graph = build(options as unknown as AnyOptions);
  return graph as unknown as PatternGraph<ReactionChannels<K>>;
}

type AnyOptions = ReactionOptions<EventKinds, Readonly<Record<string, string>>>;
type AnyEvent = PublishedEvent<EventKinds>;

const Published = z.object({
  kind: z.string(),
  value: z.unknown(),
  id: z.string(),
  by: z.string().optional(),
  trail: z.array(z.string()),
}) as z.ZodType<AnyEvent, AnyEvent>;
const Failed = z.object({ agent: z.string(), event: z.string(), error: z.string() });
const Sent = z.object({ event: Published });

function build(options: AnyOptions): PatternGraph<ReactionChannels<EventKinds>> {
  const { name = "reaction", version = "0.0.0", onError = "fail" } = options;
  const { maxDepth = 25, maxReactions = 1_000, events: kinds } = options;
  demandCount(name, "maxDepth", maxDepth);
  demandCount(name, "maxReactions", maxReactions);
  const agents = Object.entries(options.agents);
  demandCount(name, "the number of agents", agents.length);
  const names = agents.map(([agent]) => agent);
  const subscribers = subscribersOf(name, kinds, options.agents);
  const Publish = z
    .array(z.object({ kind: z.enum(Object.keys(kinds)), value: z.unknown() }))
    .readonly();

  /** Publishes, and has those who have subscribed react in the next step. */
  const publish = (
    list: readonly NewEvent<EventKinds>[],
    id: string,
    cause?: AnyEvent,
    by?: string,
  ) => {
    const trail = cause === undefined ? [] : [...cause.trail, cause.kind];
    const events = list.map(({ kind, value }, i): AnyEvent => ({
      kind,
      value: checked(kinds, kind, value),
      id: `${id}.${i}`,
      ...(by === undefined ? {} : { by }),
      trail,
    }));
    if (events.length > 0 && trail.length >= maxDepth) {
      throw new MeshError(
        "STEP_LIMIT",
        `${events[0]!.kind} would follow ${maxDepth} events that have led to each other (… → ${trail.slice(-6).join(" → ")}): raise maxDepth, or end the loop`,
      );
    }
    const goto = events.flatMap((event) =>
      (subscribers.get(event.kind) ?? []).map((agent) => new Send(agent, { event })),
    );
    return new Command({ update: { events }, goto });
  };

  const graph: PatternGraph<ReactionChannels<EventKinds>> = new StateGraph(
    {
      publish: Publish,
      events: append(Published),
      failures: append(Failed),
    },
    { name, version },
  );
  graph.addNode(PUBLISH, ({ publish: list }, { execution }) => publish(list ?? [], execution), {
    ends: names,
  });
  graph.addEdge(START, PUBLISH).addEdge(PUBLISH, END);
  for (const [agent, subscriber] of agents) {
    const { retry, timeout } = subscriber;
    graph.addNode(
      agent,
      async ({ event }, context) => {
        const reactions = await subscriber.react(event, context);
        return publish(reactions ?? [], context.execution, event, agent);
      },
      {
        input: Sent,
        ends: names,
        maxVisits: maxReactions,
        ...(retry === undefined ? {} : { retry }),
        ...(timeout === undefined ? {} : { timeout }),
        ...(onError === "report" ? { failures: { instead: reported(agent) } } : {}),
      },
    );
    graph.addEdge(agent, END);
  }
  return graph;
}

/** Who is subscribed to which kind. Throws `INVALID_CONTRACT` for a kind that there is not. */
function subscribersOf(
  graph: string,
  kinds: EventKinds,
  agents: AnyOptions["agents"],
): Map<string, string[]> {
  const subscribers = new Map<string, string[]>();
  for (const [agent, { on }] of Object.entries(agents)) {
    for (const kind of on) {
      if (!Object.hasOwn(kinds, kind)) {
        throw new MeshError(
          "INVALID_CONTRACT",
          `Graph ${graph}: ${agent} subscribes to ${kind}, which is none of ${Object.keys(kinds).join(", ")}.`,
        );
      }
      subscribers.set(kind, [...(subscribers.get(kind) ?? []), agent]);
    }
  }
  return subscribers;
}

function checked(kinds: EventKinds, kind: string, value: unknown): unknown {
  const schema = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (schema === undefined) {
    throw new MeshError("INVALID_OUTPUT", `it publishes ${kind}, which is no kind of event here`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new MeshError(
    "INVALID_OUTPUT",
    `it publishes ${kind} that does not match: ${z.prettifyError(parsed.error)}`,
  );
}

function reported(agent: string) {
  return (error: MeshError, input: unknown) => {
    // A loop is nobody's failure to react.
    if (error.code === "STEP_LIMIT") throw error;
    const { event } = input as z.output<typeof Sent>;
    return { failures: [{ agent, event: event.id, error: error.message }] };
  };
}
