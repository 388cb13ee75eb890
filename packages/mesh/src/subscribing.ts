import type { Topic } from "@plexus/core";
import {
  Subscriber,
  type EventHandler,
  type SubscribeOptions,
  type Subscription,
} from "./events.ts";
import type { Session } from "./session.ts";
import {
  readsStore,
  type NamedSubscribeOptions,
  type ReplayOptions,
  type StoredEventHandler,
} from "./stored-event.ts";

/** See `mesh.subscribe()`. */
export async function subscribe(
  session: Session,
  topic: Topic,
  handler: StoredEventHandler<Topic> | EventHandler<Topic>,
  options: NamedSubscribeOptions | ReplayOptions | SubscribeOptions,
): Promise<Subscription> {
  const runtime = session.staying();
  const { subscriptions } = session;
  if (readsStore(options)) {
    const stored = await session.topics.subscribe(topic, handler, options, (ended) =>
      subscriptions.delete(ended),
    );
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
    await session.confirm();
  } catch (error) {
    await subscriber.unsubscribe();
    throw error;
  }
  return subscriber;
}
