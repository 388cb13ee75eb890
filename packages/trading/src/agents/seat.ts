import { AsyncLocalStorage } from "node:async_hooks";
import type { Mesh } from "@plexus/mesh";
import { type Command, Commands, Statuses } from "../contracts.ts";
import { loadRole } from "./roles.ts";
import { type Seat, Station } from "./station.ts";

const STATUS_EVERY_MS = 500;

/** Takes part in one run: obeys the desk's commands and tells it twice a second how things are. Disposing leaves. */
export async function takeSeat(mesh: Mesh, seat: Seat): Promise<AsyncDisposable> {
  const report = (): void => {
    // A status that is lost is made up for by the next one.
    mesh.publish(Statuses, station.status()).catch(() => undefined);
  };
  const station = new Station(mesh, seat, report);
  const open = await loadRole(seat.role);
  const part = open(station);
  const { promise: hosting, resolve: isHosted } = Promise.withResolvers<void>();
  // Bars begin traces of their own: a feed does not run within the command that started it.
  const outside = AsyncLocalStorage.snapshot();

  async function obey(command: Command): Promise<void> {
    switch (command.kind) {
      case "prepare":
        await hosting; // the desk may find this instance, and command it, before `host` has returned
        await part.prepare(command.plan);
        station.enter("ready");
        return;
      case "start":
        outside(() => part.start?.(command.startAt));
        return;
      case "stop":
        part.stop?.(command.limit);
        return;
      case "finish":
        await part.finish?.();
        station.enter("finished");
    }
  }

  // Commands first: whoever is found in the mesh hears them.
  const commands = await mesh.subscribe(Commands, (command) =>
    obey(command).catch((error: unknown) => station.fail(error)),
  );
  const hosted = await part.host();
  isHosted();
  const timer = setInterval(report, STATUS_EVERY_MS);
  report();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await commands.unsubscribe();
      await hosted.drain();
    },
  };
}
