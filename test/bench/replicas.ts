import type { CallOptions, ContenderName, Place } from "./contenders/contender.ts";
import { Remote } from "./remote.ts";
import type { Caller } from "./roles/caller.ts";
import type { Responder, Work } from "./roles/responder.ts";

export interface Replica {
  readonly work: Work;
  readonly concurrency: number;
}

/** A caller and its replicas, a process each, connected. */
export async function openReplicas(
  contender: ContenderName,
  place: Place,
  replicas: readonly Replica[],
  placement?: CallOptions["placement"],
): Promise<AsyncDisposable & { readonly caller: Remote<Caller> }> {
  await using starting = new AsyncDisposableStack();
  const caller = starting.use(Remote.start<Caller>("caller"));
  await Promise.all(
    replicas.map(({ work, concurrency }) =>
      starting
        .use(Remote.start<Responder>("responder"))
        .ask("respond", contender, place, work, concurrency),
    ),
  );
  await caller.ask("connect", contender, place, { replicas: replicas.length, placement });
  const processes = starting.move();
  return { caller, [Symbol.asyncDispose]: () => processes.disposeAsync() };
}
