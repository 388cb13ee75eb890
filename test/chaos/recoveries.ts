/** One time that a handler began. */
export interface Execution {
  readonly task: string;
  readonly host: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

/** How long it took, in ms. */
export interface Durations {
  readonly count: number;
  readonly median: number;
  readonly max: number;
}

/** For every task that a lost host had: how long after the loss another host began to execute it. */
export function recoveries(
  executions: readonly Execution[],
  lostAt: ReadonlyMap<number, number>,
): number[] {
  const byTask = Map.groupBy(executions, ({ task }) => task);
  const found: number[] = [];
  for (const own of byTask.values()) {
    const inOrder = own.toSorted((a, b) => a.startedAt - b.startedAt);
    for (const [i, next] of inOrder.slice(1).entries()) {
      const { host, startedAt } = inOrder[i]!;
      const lost = lostAt.get(host);
      if (lost !== undefined && startedAt <= lost && next.startedAt >= lost) {
        found.push(next.startedAt - lost);
      }
    }
  }
  return found;
}

export function durations(values: readonly number[]): Durations {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    median: sorted[sorted.length >> 1] ?? 0,
    max: sorted.at(-1) ?? 0,
  };
}

export function inWords({ count, median, max }: Durations): string {
  if (count === 0) return "none was needed";
  return `${count} tasks, median ${seconds(median)}, longest ${seconds(max)}`;
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`;
}
