import { MeshError, type State } from "@plexus/core";
import type { z } from "zod";
import { fastCounter, type CellFamily } from "./histogram.ts";
import type { Logger } from "./log.ts";
import { StateStore } from "./nats/state-store.ts";
import type { Runtime } from "./runtime.ts";
import { StateAccess, type SharedState } from "./shared-state.ts";
import { StateBarrier } from "./state-barrier.ts";
import { StateReplica } from "./state-replica.ts";
import { StateWriter, type Attempt } from "./state-writer.ts";

/** What access to a shared state is made of. */
export interface StateParts {
  readonly store: StateStore;
  readonly replica: StateReplica;
  readonly barrier: StateBarrier;
  readonly writer: StateWriter;
  readonly log: Logger;
}

/** The shared states that one process uses. */
export class States {
  readonly #runtime: Runtime;
  readonly #writes: CellFamily;
  readonly #barriers: CellFamily;
  readonly #open = new Map<string, { contract: State; parts: StateParts; access: StateAccess }>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    const { registry } = runtime.metrics;
    const writes = "Attempts to write to shared states, by what became of them";
    this.#writes = fastCounter(registry, "plexus_state_writes_total", writes, ["state", "outcome"]);
    const barriers = "Barriers written for strong reads";
    this.#barriers = fastCounter(registry, "plexus_state_barriers_total", barriers, ["state"]);
  }

  open<S extends z.ZodType>(contract: State<S>): SharedState<S> {
    if ((contract as Partial<State> | undefined)?.kind !== "state") {
      throw new MeshError("INVALID_CONTRACT", "mesh.state() takes what state() has declared.");
    }
    let own = this.#open.get(contract.name);
    if (own === undefined) {
      const parts = this.#parts(contract);
      own = { contract, parts, access: new StateAccess(contract, parts) };
      this.#open.set(contract.name, own);
    } else if (own.contract !== contract) {
      // One copy and one order of writes, whichever schema reads them.
      return new StateAccess(contract, own.parts) as unknown as SharedState<S>;
    }
    return own.access as unknown as SharedState<S>;
  }

  connectionLost(): void {
    for (const { parts } of this.#open.values()) parts.store.connectionLost();
  }

  connectionRestored(): void {
    for (const { parts } of this.#open.values()) parts.replica.connectionRestored();
  }

  close(): void {
    for (const { parts } of this.#open.values()) {
      parts.barrier.close();
      parts.replica.close();
      parts.store.close();
    }
  }

  #parts(contract: State): StateParts {
    const store = new StateStore(this.#runtime, contract);
    const replica = new StateReplica(this.#runtime, store);
    const { name: state } = contract;
    const stored = this.#writes.with({ state, outcome: "stored" });
    const conflicts = this.#writes.with({ state, outcome: "conflict" });
    const ended = (attempt: Attempt): void => {
      if (attempt.kind === "conflict") conflicts.value++;
      else {
        stored.value++;
        if (replica.started) replica.note(attempt.stored);
      }
    };
    return {
      store,
      replica,
      barrier: new StateBarrier(this.#runtime, store, this.#barriers.with({ state })),
      writer: new StateWriter(this.#runtime, store, {
        mayExpire: contract.storage === "memory",
        ended,
      }),
      log: this.#runtime.log,
    };
  }
}
