import type { NatsConnection } from "@nats-io/transport-node";

interface Change {
  readonly at: number;
  /** Who has the partition, or is to have it. */
  readonly holder: string | undefined;
  readonly held: boolean;
}

/** When a process stood still. */
interface Pause {
  readonly instance: string;
  readonly from: number;
  readonly to: number;
}

/** How often a partition has changed hands within some time. */
export interface Moves {
  /** Handed over by its owner to an heir that was alive and took it. */
  readonly planned: number;
  /** Taken from an owner, or an heir, that was not heard of any more; or taken by an heir that had stood still. */
  readonly crashed: number;
}

/** Who has owned the partitions, as the records of their leases tell when they are written. */
export class ShardTimeline {
  readonly #changes: Change[][];
  readonly #pauses: Pause[] = [];
  #moved = 0;

  constructor(nats: NatsConnection, mesh: string, entity: string, partitions: number) {
    this.#changes = Array.from({ length: partitions }, () => []);
    nats.subscribe(`${mesh}.lease.shards.${entity}.*`, {
      callback: (_error, message) => {
        const partition = Number(message.subject.split(".").at(-1));
        const { state, owner, heir } = message.json<{
          state: string;
          owner: string;
          heir?: string;
        }>();
        this.#note(partition, state === "held", state === "held" ? owner : heir);
      },
    });
  }

  /** How many times a partition has got another owner. */
  get moved(): number {
    return this.#moved;
  }

  /** An instance stands still for so long from now on: nobody can know that before its leases run out. */
  pause(instance: string, ms: number): void {
    const from = performance.now();
    this.#pauses.push({ instance, from, to: from + ms });
  }

  /** What happened to a partition in this time; an owner that stood still counts as one that crashed. */
  between(partition: number, from: number, to: number): Moves {
    let [planned, crashed] = [0, 0];
    const changes = this.#changes[partition]!;
    for (let n = 1; n < changes.length; n++) {
      const [before, now] = [changes[n - 1]!, changes[n]!];
      if (now.at < from || now.at > to || !now.held) continue;
      const given = !before.held && before.holder === now.holder;
      if (given && !this.#stoodStill(now.holder, before.at, now.at)) planned++;
      else crashed++;
    }
    const owner = changes.findLast(({ at }) => at <= from)?.holder;
    if (crashed === 0 && this.#stoodStill(owner, from, to)) crashed++;
    return { planned, crashed };
  }

  /** The same in words, with times from the beginning. */
  tell(partition: number, from: number, to: number): string {
    const changes = this.#changes[partition]!;
    const first = changes.findLastIndex(({ at }) => at < from);
    return changes
      .slice(Math.max(0, first))
      .filter(({ at }) => at <= to)
      .map(
        ({ at, held, holder }) => `${Math.round(at - from)}: ${held ? "held by" : "for"} ${holder}`,
      )
      .join(", ");
  }

  #stoodStill(holder: string | undefined, from: number, to: number): boolean {
    return this.#pauses.some(
      (pause) => pause.instance === holder && pause.from <= to && pause.to >= from,
    );
  }

  #note(partition: number, held: boolean, holder: string | undefined): void {
    const changes = this.#changes[partition]!;
    const last = changes.at(-1);
    if (held && last?.held && last.holder === holder) return; // renewed
    const owner = changes.findLast((change) => change.held)?.holder;
    if (held && owner !== undefined && owner !== holder) this.#moved++;
    changes.push({ at: performance.now(), held, holder });
  }
}
