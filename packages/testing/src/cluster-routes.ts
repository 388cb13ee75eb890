import type { BrokerConfig } from "./broker-config.ts";
import { type Proxy, startProxy } from "./proxy.ts";

/** Told to the other servers as a server's address, so that none of them goes around the proxies. */
const NOWHERE = "127.0.0.1:1";

/** The connections between the servers of a cluster: each dials each other one through a proxy. */
export class Routes implements AsyncDisposable {
  readonly #pairs: readonly { from: number; to: number; proxy: Proxy }[];

  private constructor(pairs: readonly { from: number; to: number; proxy: Proxy }[]) {
    this.#pairs = pairs;
  }

  /** @param listens where the servers will listen for each other */
  static async open(listens: readonly string[]): Promise<Routes> {
    const pairs = listens.flatMap((_, from) =>
      listens.flatMap((target, to) => (to === from ? [] : [{ from, to, target }])),
    );
    return new Routes(
      await Promise.all(
        pairs.map(async ({ from, to, target }) => ({
          from,
          to,
          proxy: await startProxy({ target }),
        })),
      ),
    );
  }

  /** What stands in the `cluster` block of a server. */
  config(index: number): BrokerConfig {
    const own = this.#pairs.filter(({ from }) => from === index);
    return {
      advertise: NOWHERE,
      routes: own.map(({ proxy }) => proxy.url.replace("nats://", "nats-route://")),
    };
  }

  async isolate(index: number, how: "hold" | "cut"): Promise<void> {
    const own = this.#pairs.filter(({ from, to }) => from === index || to === index);
    await Promise.all(own.map(async ({ proxy }) => (how === "hold" ? proxy.hold() : proxy.cut())));
  }

  async heal(): Promise<void> {
    await Promise.all(this.#pairs.map(({ proxy }) => proxy.heal()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pairs.map(({ proxy }) => proxy[Symbol.asyncDispose]()));
  }
}
