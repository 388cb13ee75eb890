import { isMeshError } from "@plexus/core";
import type { Deployment } from "./deployment.ts";
import type { Bucket, Entry, Fleet } from "./fleet.ts";
import type { Log } from "./log.ts";
import { sharedBreaker, step, type BreakerInput, type SharedState } from "./shared-breaker.ts";

/** What the fleet knows of a deployment. */
export interface HealthReport {
  readonly model: string;
  /** Tells deployments of the same name and another key apart. */
  readonly key: string;
  readonly breaker: SharedState["state"];
  /** The process that tries whether it works again. */
  readonly by?: string;
  /** For how long it wanted to be left alone, when it said so. */
  readonly coolingMs?: number;
}

const MAX_COOL_MS = 3_600_000;

interface Shared {
  readonly deployment: Deployment;
  breaker: ReturnType<typeof sharedBreaker>;
  /** The own breaker is being told what the fleet knows: its change is no news. */
  applying: boolean;
  turn: Promise<unknown>;
}

/**
 * What the processes of a fleet tell each other about deployments: that one has tripped, that one wants to be left alone, and
 * who may try whether it works again. Without the broker each process goes by its own experience.
 */
export class Health {
  readonly #client: string;
  readonly #log: Log;
  readonly #breakers: Bucket;
  readonly #cooling: Bucket;
  readonly #shared = new Map<string, Shared>();
  readonly #stops: (() => void)[] = [];

  constructor(fleet: Fleet, deployments: readonly Deployment[], log: Log) {
    this.#client = fleet.client;
    this.#log = log;
    ({ breakers: this.#breakers, cooling: this.#cooling } = buckets(fleet));
    for (const deployment of deployments) {
      const shared: Shared = {
        deployment,
        breaker: sharedBreaker(this.#client),
        applying: false,
        turn: Promise.resolve(),
      };
      this.#shared.set(deployment.sharedKey, shared);
      deployment.breaker.onChange((state) => {
        if (state !== "half-open") log.warn({ deployment: deployment.id, state }, "breaker");
        if (shared.applying || state === "half-open") return;
        void this.#tell(shared, { type: state === "open" ? "opened" : "recovered" }).catch(
          (error: unknown) => log.warn({ err: error }, "a breaker's state could not be shared"),
        );
      });
    }
  }

  /** Begins to listen. Resolves when what stands there is known. */
  async open(): Promise<void> {
    const listen = async (bucket: Bucket, hear: (shared: Shared, entry: Entry) => void) => {
      this.#stops.push(
        await bucket.watch((entry) => {
          const shared = this.#shared.get(entry.key);
          if (shared !== undefined && entry.value !== undefined) hear(shared, entry);
        }),
      );
    };
    await Promise.all([
      listen(this.#breakers, (shared, { value, revision }) =>
        this.#apply(shared, { type: "seen", record: value as SharedState, revision }),
      ),
      listen(this.#cooling, ({ deployment }, { value }) => deployment.coolDown(value as number)),
    ]);
  }

  /** Nobody in the fleet asks this deployment for so long. */
  coolDown(deployment: Deployment, ms: number): void {
    const bounded = Math.min(ms, MAX_COOL_MS);
    deployment.coolDown(bounded);
    if (bounded === 0) return;
    this.#cooling
      .put(deployment.sharedKey, bounded, { ttl: bounded })
      .catch((error: unknown) => this.#log.warn({ err: error }, "a cool-down could not be shared"));
  }

  /** A deployment's breaker is half-open: whether this process, of all, makes the call that tries it. */
  async mayTry(deployment: Deployment): Promise<boolean> {
    const shared = this.#shared.get(deployment.sharedKey)!;
    try {
      const accepted = await this.#tell(shared, { type: "due" });
      return accepted && !deployment.breaker.refuses;
    } catch (error) {
      if (isMeshError(error, "NOT_CONNECTED") || isMeshError(error, "TIMEOUT")) return true;
      throw error;
    }
  }

  /** Resolves when everything that was said has been written. */
  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    await Promise.all([...this.#shared.values()].map(({ turn }) => turn));
  }

  #tell(shared: Shared, input: BreakerInput): Promise<boolean> {
    const told = shared.turn.then(() => this.#write(shared, input));
    shared.turn = told.catch(() => undefined);
    return told;
  }

  /** Writes what follows, against what is known to stand there. False: there was no need to, or somebody else was faster. */
  async #write(shared: Shared, input: BreakerInput): Promise<boolean> {
    const key = shared.deployment.sharedKey;
    // It may have waited for its turn, and the breaker not be half-open any more.
    if (input.type === "due" && shared.deployment.breaker.refuses) return false;
    const { effects } = step(shared.breaker, input);
    for (const effect of effects) {
      if (effect.type !== "write") continue;
      try {
        // There is one at most.
        const revision = await this.#breakers.put(key, effect.record, {
          revision: effect.revision,
        });
        this.#note(shared, effect.record, revision);
        return true;
      } catch (error) {
        const found = await this.#breakers.get(key);
        if (found) {
          const record = found.value as SharedState;
          this.#apply(shared, { type: "seen", record, revision: found.revision });
        } else shared.breaker = sharedBreaker(this.#client); // the broker has lost its memory
        if (!isMeshError(error, "CONFLICT")) throw error;
      }
    }
    return false;
  }

  /** What this process has written itself changes nothing about its own breaker. */
  #note(shared: Shared, record: SharedState, revision: number): void {
    if (revision > shared.breaker.revision) {
      shared.breaker = { ...shared.breaker, seen: record, revision };
    }
  }

  #apply(shared: Shared, input: BreakerInput): void {
    const { next, effects } = step(shared.breaker, input);
    shared.breaker = next;
    const { breaker } = shared.deployment;
    shared.applying = true;
    try {
      for (const effect of effects) {
        if (effect.type === "open") breaker.open();
        else if (effect.type === "close" && breaker.state !== "closed") breaker.close();
      }
    } finally {
      shared.applying = false;
    }
  }
}

function buckets(fleet: Pick<Fleet, "bucket">): { breakers: Bucket; cooling: Bucket } {
  return {
    breakers: fleet.bucket("breakers", { storage: "memory" }),
    cooling: fleet.bucket("cooldowns", { storage: "memory" }),
  };
}

/** All deployments that have ever tripped, or are cooling down. */
export async function readHealth(fleet: Pick<Fleet, "bucket">): Promise<HealthReport[]> {
  const { breakers, cooling } = buckets(fleet);
  const keys = new Set([...(await breakers.keys()), ...(await cooling.keys())]);
  return Promise.all(
    [...keys].toSorted().map(async (sharedKey) => {
      const [state, cool] = await Promise.all([breakers.get(sharedKey), cooling.get(sharedKey)]);
      const record = (state?.value as SharedState | undefined) ?? { state: "closed" };
      const at = sharedKey.lastIndexOf(".");
      const [model, key] = [sharedKey.slice(0, at), sharedKey.slice(at + 1)];
      const report: HealthReport = { model, key, breaker: record.state };
      const trial = record.state === "probing" ? { by: record.by } : {};
      return Object.assign(report, trial, cool && { coolingMs: cool.value as number });
    }),
  );
}
