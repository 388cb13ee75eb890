/**
 * Resolves with the first SIGINT or SIGTERM, so that a script can end by leaving its scope and everything it opened
 * with `await using` drains.
 *
 * @example
 * await using mesh = await connect();
 * await using hosted = await mesh.host(Greeter, handlers);
 * await shutdownSignal();
 */
export function shutdownSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const signals = ["SIGINT", "SIGTERM"] as const;
    const listener = (signal: NodeJS.Signals): void => {
      for (const name of signals) process.removeListener(name, listener);
      resolve(signal);
    };
    for (const name of signals) process.on(name, listener);
  });
}
