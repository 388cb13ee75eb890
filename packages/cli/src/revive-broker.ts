import type { Broker } from "@plexus/testing";

const LOOK_MS = 250;

/**
 * Starts an embedded broker again whenever it is down, on the same port and with what it had stored.
 * @param say told once how it is going, however often it fails to start
 * @returns what ends that, and waits for a start under way
 */
export function reviveBroker(broker: Broker, say: (line: string) => void): () => Promise<void> {
  let starting: Promise<void> | undefined;
  let failed = false;
  const start = async (): Promise<void> => {
    if (!failed) say("the embedded broker has died and is started again");
    try {
      await broker.restart();
      failed = false;
    } catch (error) {
      if (!failed) say(`the broker does not start, trying on: ${(error as Error).message}`);
      failed = true;
    }
    starting = undefined;
  };
  const timer = setInterval(() => {
    if (broker.pid === undefined) starting ??= start();
  }, LOOK_MS);
  return async () => {
    clearInterval(timer);
    await starting;
  };
}
