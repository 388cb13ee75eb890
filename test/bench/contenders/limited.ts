/**
 * Runs the work at most `concurrency` times at once, the rest waits in order: what a host of Plexus does, for
 * clients that have no such limit. Work that ends at once returns nothing and never waits.
 */
export function limited(
  concurrency: number,
  work: () => void | Promise<void>,
): () => void | Promise<void> {
  const waiting: (() => void)[] = [];
  let running = 0;

  const finish = (): void => {
    running -= 1;
    waiting.shift()?.();
  };

  return () => {
    if (running < concurrency) {
      const pending = work();
      if (pending === undefined) return undefined;
      running += 1;
      return pending.finally(finish);
    }
    return new Promise((resolve, reject) => {
      waiting.push(() => {
        running += 1;
        Promise.resolve(work()).finally(finish).then(resolve, reject);
      });
    });
  };
}
