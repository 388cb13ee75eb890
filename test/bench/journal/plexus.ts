import { journal } from "@plexus/core";
import { connect } from "@plexus/mesh";
import type { Place } from "../contenders/contender.ts";
import { Message } from "../message.ts";
import type { Recorder } from "./recorder.ts";

const Log = journal("log", { events: { added: Message } });

export async function open(place: Place): Promise<Recorder> {
  const mesh = await connect({ servers: place.servers, mesh: place.namespace });
  const log = mesh.journal(Log);
  return {
    append: (key, data) => log.append(key, { type: "added", data }),
    appendAll: (keys, data) =>
      log.appendAll(keys.map((key) => ({ key, events: { type: "added", data } }))),
    async rebuild() {
      await using projection = await mesh.project(Log, {
        name: "sum",
        initial: { count: 0, sum: 0 },
        on: { added: ({ count, sum }, { data }) => ({ count: count + 1, sum: sum + data.seq }) },
      });
      await projection.caughtUp;
      return projection.state.count;
    },
  };
}
