import { setTimeout as sleep } from "node:timers/promises";
import type { RegisterCrew } from "./register-crew.ts";
import type { TickReport } from "./register-orders.ts";

/** How old what eventual reads gave was, in ms: for how long something newer had been confirmed. */
export interface Staleness {
  readonly reads: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const WRITE_EVERY_MS = 10;
const READ_EVERY_MS = 1;
const PAUSE_AFTER_MS = 500;

const READERS = [1, 2];

/** {@link measureStaleness} at a server that is frozen for a while: where it is worse, as at the one that leads nothing is confirmed meanwhile. */
export async function measureFrozen(
  crew: RegisterCrew,
  key: string,
  ms: number,
  pauseMs: number,
): Promise<Staleness> {
  const found: Staleness[] = [];
  for (const reader of READERS) {
    found.push(await measureStaleness(crew, `${key} ${reader}`, ms, { reader, pauseMs }));
  }
  return found.toSorted((a, b) => b.max - a.max)[0]!;
}

/** One client writes all the time, another one, at another server, reads its own copy. */
export async function measureStaleness(
  crew: RegisterCrew,
  key: string,
  ms: number,
  { reader, pauseMs } = { reader: READERS[0]!, pauseMs: 0 },
): Promise<Staleness> {
  const writer = 0;
  const writing = crew.tick(writer, { role: "write", key, ms, everyMs: WRITE_EVERY_MS });
  const reading = crew.tick(reader, { role: "read", key, ms, everyMs: READ_EVERY_MS });
  if (pauseMs > 0) {
    const broker = crew.cluster.brokers[reader]!;
    await sleep(PAUSE_AFTER_MS);
    await broker.pause();
    await sleep(pauseMs);
    broker.resume();
  }
  return stalenessOf(await writing, await reading);
}

/** @param confirmed in the order of their revisions */
export function stalenessOf(confirmed: TickReport, read: TickReport): Staleness {
  const ages = read
    .map(({ at, revision }) => {
      const newer = confirmed.find((write) => write.revision > revision);
      return newer === undefined ? 0 : Math.max(0, at - newer.at);
    })
    .toSorted((a, b) => a - b);
  const at = (part: number): number => ages[Math.floor(part * (ages.length - 1))] ?? 0;
  return { reads: ages.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}
