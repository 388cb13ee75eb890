import { AsyncLocalStorage } from "node:async_hooks";
import type { Mesh } from "@plexus/mesh";
import { type Command, Commands, Statuses } from "../desk-topics.ts";
import { loadRole } from "./roles.ts";
import { type Seat, seatName, Station } from "./station.ts";

const STATUS_EVERY_MS = 500;

/**
 * Takes part in one run: obeys the desk's commands, those given before it came included, and tells twice a second how things
 * are. Whatever goes wrong is told to `failed`, once; the remedy is to begin anew. Disposing leaves.
 */
export async function takeSeat(
  mesh: Mesh,
  seat: Seat,
  failed: (error: unknown) => void,
): Promise<AsyncDisposable> {
  let told: Promise<void> | undefined;
  let news = false;
  /** One status at a time: while the broker is away, only the latest is worth waiting. */
  const report = (): void => {
    news = true;
    told ??= tell();
  };
  const tell = async (): Promise<void> => {
    while (news) {
      news = false;
      // A status that is lost is made up for by the next one.
      await mesh.publish(Statuses, station.status()).catch(() => undefined);
    }
    told = undefined;
  };
  const last = await mesh.lastEvent(Statuses, { where: { seat: seatName(seat) } });
  const station = new Station(mesh, seat, { before: last?.value, announce: report, failed });
  const part = (await loadRole(seat.role))(station);
  // Bars begin traces of their own: a feed does not run within the command that started it.
  const outside = AsyncLocalStorage.snapshot();
  const { promise: informed, resolve: isInformed } = Promise.withResolvers<void>();

  async function obey(command: Command): Promise<void> {
    switch (command.kind) {
      case "prepare":
        await part.prepare(command.plan);
        station.enter("ready");
        return;
      case "start":
        // Not before it is known whether there was an end to it.
        informed.then(() => outside(() => part.start?.(command.startAt))).catch(fail);
        return;
      case "stop":
        part.stop?.(command.limit);
        return;
      case "finish":
        station.enter("finished");
    }
  }
  const fail = (error: unknown): void => station.fail(error);

  const hosted = await part.host();
  const timer = setInterval(report, STATUS_EVERY_MS);
  report();
  const commands = await mesh.subscribe(Commands, (command) => obey(command).catch(fail), {
    from: "all",
  });
  commands.caughtUp.then(isInformed, fail);
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await commands.unsubscribe();
      await hosted.drain();
      await part.close?.();
    },
  };
}
