import { connect } from "@nats-io/transport-node";
import type { Place } from "./contenders/contender.ts";

/*
 * How a flood is kept from overrunning anyone: the source may be at most a window ahead of the sink, which grants new
 * credits as it receives. They travel on a plain connection of their own, the same for every contender.
 */

const WINDOW = 2048;
const GRANT = 128;

const subject = (place: Place): string => `${place.namespace}.bench-credits`;

/** The source's side. */
export class Credits {
  #left = WINDOW;
  #wake: (() => void) | undefined;

  static async open(place: Place): Promise<Credits> {
    const nc = await connect({ servers: place.servers });
    const credits = new Credits();
    nc.subscribe(subject(place), {
      callback: () => {
        credits.#left += GRANT;
        credits.stopWaiting();
      },
    });
    await nc.flush();
    return credits;
  }

  /** Takes one credit if there is one. */
  take(): boolean {
    if (this.#left === 0) return false;
    this.#left -= 1;
    return true;
  }

  /** Resolves when there are new credits, or after {@link stopWaiting}. */
  granted(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  stopWaiting(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Everything is received: the window is whole again. */
  refill(): void {
    this.#left = WINDOW;
  }
}

/** The sink's side: call it for each message received. */
export async function granter(place: Place): Promise<() => void> {
  const nc = await connect({ servers: place.servers });
  const to = subject(place);
  let received = 0;
  return () => {
    received += 1;
    if (received % GRANT === 0) nc.publish(to);
  };
}
