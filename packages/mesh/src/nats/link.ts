import {
  connect,
  headers as newHeaders,
  type ConnectionOptions,
  type Msg,
  type NatsConnection,
} from "@nats-io/transport-node";
import { MeshError } from "@plexus/core";
import { Pacer } from "../pacer.ts";

/** NATS headers of a message that arrived, and the status in them (0 for none). */
export interface Headers {
  readonly code: number;
  /** What stands behind the status. */
  readonly description: string;
  get(name: string): string;
  /** The last value: the broker's, where it adds to what the message had. */
  last(name: string): string;
}

/** What a subscription receives: one NATS message. */
export type OnMessage = (
  data: Uint8Array,
  subject: string,
  reply: string | undefined,
  headers: Headers | undefined,
) => void;

/** A NATS message that is read only where somebody looks: its subject is not needed, its headers seldom. */
export interface RawMessage {
  readonly data: Uint8Array;
  readonly reply?: string;
  readonly headers?: Headers;
}

/** Options of {@link Link.subscribe}. */
export interface SubscribeOptions {
  readonly queue?: string;
  /** Spread bursts over several turns of the event loop; see {@link Pacer}. Order is kept among those that are. */
  readonly paced?: boolean;
  /** Receives the broker's "no responders" answers; without it they are ignored. */
  readonly onNoResponders?: (subject: string) => void;
}

export interface LinkSubscription {
  /** Stops new messages; resolves when everything the broker had sent before has been handed over. */
  drain(): Promise<void>;
  unsubscribe(): void;
}

/** Connection events. `lost` fires at once when the connection breaks, `restored` when it is back. */
export interface LinkEvents {
  lost(server: string): void;
  restored(server: string): void;
  error(error: Error): void;
}

export interface LinkOptions {
  servers: readonly string[];
  name: string;
  timeoutMs: number;
  user?: string;
  password?: string;
  token?: string;
}

const PING_INTERVAL_MS = 10_000; // a black-holed broker is noticed after two silent pings
const RECONNECT_WAIT_MS = 250;
const MIN_DIAL_MS = 1_000; // also what each later reconnection is given
const PATIENCE_MS = 5_000; // with a broker that should answer at once
const NO_PATIENCE_MS = 500; // once it has not

/** One connection to the broker: the narrow part of the NATS client that the mesh uses on its hot path. */
export class Link {
  readonly connection: NatsConnection;
  readonly #events: LinkEvents;
  readonly #pacer = new Pacer();
  #patienceMs = PATIENCE_MS;
  #connected = true;
  #closing = false;

  private constructor(connection: NatsConnection, events: LinkEvents) {
    this.connection = connection;
    this.#events = events;
    void this.#follow();
  }

  /** Connects, trying again until `timeoutMs` has passed; then throws `NOT_CONNECTED`. */
  static async open(options: LinkOptions, events: LinkEvents): Promise<Link> {
    const settings: ConnectionOptions = {
      servers: [...options.servers],
      name: options.name,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      reconnectJitter: RECONNECT_WAIT_MS,
      pingInterval: PING_INTERVAL_MS,
      noAsyncTraces: true,
      ignoreAuthErrorAbort: true,
      ...(options.user === undefined ? {} : { user: options.user }),
      ...(options.password === undefined ? {} : { pass: options.password }),
      ...(options.token === undefined ? {} : { token: options.token }),
    };
    const giveUpAt = performance.now() + options.timeoutMs;
    for (;;) {
      const timeout = Math.max(MIN_DIAL_MS, Math.ceil(giveUpAt - performance.now()));
      try {
        return new Link(await connect({ ...settings, timeout }), events);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        if (/authorization|authentication/i.test(why)) {
          throw new MeshError("UNAUTHORIZED", `The broker refused the credentials: ${why}.`, {
            cause,
          });
        }
        if (performance.now() + RECONNECT_WAIT_MS >= giveUpAt) {
          throw new MeshError(
            "NOT_CONNECTED",
            `No NATS server answers at ${options.servers.join(", ")} (${why}). Start one, or set PLEXUS_SERVERS.`,
            { cause },
          );
        }
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_WAIT_MS));
      }
    }
  }

  get connected(): boolean {
    return this.#connected && !this.#closing;
  }

  /** True once {@link close} was called: this connection does not come back. */
  get closed(): boolean {
    return this.#closing;
  }

  /** True if the broker is one of several: what one of them knows, the others know a moment later. */
  get clustered(): boolean {
    return this.connection.info?.cluster !== undefined;
  }

  /** The largest message the broker takes, in bytes. */
  get maxPayload(): number {
    return this.connection.info?.max_payload ?? 1_048_576;
  }

  /** Hands a message to the client. False: not connected, the message is dropped. */
  publish(
    subject: string,
    data: Uint8Array,
    reply?: string,
    headers?: Readonly<Record<string, string>>,
  ): boolean {
    if (!this.connected) return false;
    if (headers === undefined) {
      this.connection.publish(subject, data, reply === undefined ? undefined : { reply });
      return true;
    }
    const own = newHeaders();
    for (const name in headers) own.set(name, headers[name]!);
    this.connection.publish(subject, data, {
      headers: own,
      ...(reply === undefined ? {} : { reply }),
    });
    return true;
  }

  subscribe(
    subject: string,
    onMessage: OnMessage,
    options: SubscribeOptions = {},
  ): LinkSubscription {
    const { onNoResponders, paced = false } = options;
    this.#demandOpen();
    const subscription = this.connection.subscribe(subject, {
      ...(options.queue === undefined ? {} : { queue: options.queue }),
      callback: (error, message) => {
        if (error) return;
        if (!paced) return this.#deliver(message, onMessage, onNoResponders);
        this.#pacer.arrive({
          size: message.data.length,
          handle: () => this.#deliver(message, onMessage, onNoResponders),
        });
      },
    });
    return {
      drain: async () => {
        if (!this.#connected) subscription.unsubscribe();
        else if (!subscription.isClosed()) await this.#patiently(subscription.drain());
        await this.#pacer.settled();
      },
      unsubscribe: () => subscription.unsubscribe(),
    };
  }

  /** Like {@link subscribe}, for many messages of which little is needed. Returns what ends it. */
  stream(subject: string, onMessage: (message: RawMessage) => void): () => void {
    this.#demandOpen();
    const subscription = this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) return;
        try {
          onMessage(message);
        } catch (thrown) {
          this.#events.error(thrown as Error); // as in #deliver()
        }
      },
    });
    return () => subscription.unsubscribe();
  }

  /**
   * Resolves when the broker has seen everything published so far, however long that takes; `NOT_CONNECTED` when the
   * connection breaks first.
   */
  async flush(): Promise<void> {
    try {
      if (!this.#connected) throw new Error("there is no connection");
      await this.connection.flush();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new MeshError("NOT_CONNECTED", `The broker did not confirm: ${why}.`, { cause });
    }
  }

  /** Flushes, but gives up on a broker that does not answer. True: everything has arrived. */
  async settle(): Promise<boolean> {
    return this.#connected && this.#patiently(this.connection.flush());
  }

  /** Flushes and closes; gives up on a broker that does not answer. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#connected) await this.#patiently(this.connection.drain());
    await this.connection.close();
    this.#connected = false;
  }

  #demandOpen(): void {
    if (!this.#closing) return;
    throw new MeshError("NOT_CONNECTED", "This connection to the mesh is closed.");
  }

  /** Whatever is thrown into nats.js ends its reading loop, and the connection goes deaf: so nothing is. */
  #deliver(
    message: Msg,
    onMessage: OnMessage,
    onNoResponders: ((subject: string) => void) | undefined,
  ): void {
    try {
      const { data, headers } = message;
      if (onNoResponders && data.length === 0 && headers?.code === 503) {
        onNoResponders(message.subject);
      } else onMessage(data, message.subject, message.reply || undefined, headers);
    } catch (error) {
      this.#events.error(error as Error);
    }
  }

  /** Waits for the broker; less and less once it has kept this side waiting. */
  async #patiently(work: Promise<unknown>): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const expired = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => {
        this.#patienceMs = NO_PATIENCE_MS;
        resolve(false);
      }, this.#patienceMs);
    });
    const done = work.then(
      () => {
        this.#patienceMs = PATIENCE_MS;
        return true;
      },
      () => false,
    );
    try {
      return await Promise.race([done, expired]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #follow(): Promise<void> {
    const events = this.#events;
    for await (const status of this.connection.status()) {
      if (status.type === "disconnect" || status.type === "staleConnection") {
        if (!this.#connected || this.#closing) continue;
        this.#connected = false;
        events.lost("server" in status ? status.server : "");
      } else if (status.type === "reconnect") {
        this.#connected = true;
        events.restored(status.server);
      } else if (status.type === "error") events.error(status.error);
    }
  }
}
