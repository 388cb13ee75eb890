import { token, type Agent, type Topic } from "@plexus/core";
import { z } from "zod";
import { createClient, createRoute, type ClientOptions } from "./client.ts";
import {
  Publisher,
  Subscriber,
  type EventHandler,
  type SubscribeOptions,
  type Subscription,
} from "./events.ts";
import type { Route } from "./route.ts";
import type { Session } from "./session.ts";
import {
  readsStore,
  type NamedSubscribeOptions,
  type ReplayOptions,
  type StoredEventHandler,
} from "./stored-event.ts";
import type { DurablePublisher } from "./topic-publisher.ts";

/** What one connection calls, publishes and subscribes with: made when it is first needed, then kept. */
export class Access {
  readonly #session: Session;
  readonly #publishers = new WeakMap<Topic, Publisher | DurablePublisher>();
  readonly #clients = new WeakMap<Agent, Record<string, unknown>>();
  readonly #routes = new Map<string, Route>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** The client of an agent. */
  client(contract: Agent, options: ClientOptions | undefined): Record<string, unknown> {
    const runtime = this.#session.opened();
    let client = options === undefined ? this.#clients.get(contract) : undefined;
    if (client === undefined) {
      client = createClient(runtime, contract, options ?? {});
      if (options === undefined) this.#clients.set(contract, client);
    }
    return client;
  }

  /** The route of a capability whose contract this process does not have. */
  route(agent: string, capability: string): Route {
    const key = `${token("Agent", agent)}.${token("Capability", capability)}`;
    let route = this.#routes.get(key);
    if (route === undefined) {
      const spec = { input: z.unknown(), output: z.unknown(), stream: z.unknown() };
      route = createRoute(this.#session.opened(), agent, capability, spec, {});
      this.#routes.set(key, route);
    }
    return route;
  }

  publisher(topic: Topic): Publisher | DurablePublisher {
    let publisher = this.#publishers.get(topic);
    if (publisher === undefined) {
      const runtime = this.#session.opened();
      publisher =
        topic.durable === undefined
          ? new Publisher(runtime, topic)
          : this.#session.topics.publisher(topic);
      this.#publishers.set(topic, publisher);
    }
    return publisher;
  }

  /** See `mesh.subscribe()`. */
  async subscribe(
    topic: Topic,
    handler: StoredEventHandler<Topic> | EventHandler<Topic>,
    options: NamedSubscribeOptions | ReplayOptions | SubscribeOptions,
  ): Promise<Subscription> {
    const runtime = this.#session.staying();
    const { subscriptions } = this.#session;
    if (readsStore(options)) {
      const stored = await this.#session.topics.subscribe(topic, handler, options, (ended) =>
        subscriptions.delete(ended),
      );
      if (this.#session.closing) await stored.unsubscribe(); // whoever closes has not seen it
      this.#session.staying();
      subscriptions.add(stored);
      return stored;
    }
    const subscriber = new Subscriber(
      runtime,
      topic,
      handler as ConstructorParameters<typeof Subscriber>[2],
      options,
      () => subscriptions.delete(subscriber),
    );
    subscriptions.add(subscriber);
    try {
      await this.#session.confirm();
    } catch (error) {
      await subscriber.unsubscribe();
      throw error;
    }
    return subscriber;
  }
}
