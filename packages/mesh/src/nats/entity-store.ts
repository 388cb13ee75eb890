import { DiscardPolicy, RetentionPolicy } from "@nats-io/jetstream";
import type { Subjects } from "@plexus/core";
import type { Link } from "./link.ts";
import { Streams } from "./streams.ts";

const NS_PER_MS = 1_000_000;
const DEDUPE_MS = 120_000;

/**
 * The streams of entities, all on file: the journal (what was decided, and by whom), commands that wait to be executed,
 * snapshots. The broker tells of each command that it stores on a subject of its partition, so an owner needs no consumer.
 */
export class EntityStore {
  readonly journal: string;
  readonly commands: string;
  readonly snapshots: string;
  readonly #streams: Streams;
  readonly #subjects: Subjects;
  #opened: Promise<void> | undefined;
  #reopening: Promise<void> | undefined;

  constructor(link: Link, subjects: Subjects) {
    const { mesh } = subjects;
    this.journal = `${mesh}-journal`;
    this.commands = `${mesh}-commands`;
    this.snapshots = `${mesh}-snapshots`;
    this.#streams = new Streams(link);
    this.#subjects = subjects;
  }

  /** Makes sure that the streams exist. Throws `INCOMPATIBLE_BROKER` when the broker cannot hold them. */
  open(): Promise<void> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  /** They have to be made sure of again before they are next used. */
  forget(): void {
    this.#opened = undefined;
  }

  /** Makes sure of them once more, as the broker may have lost them. Meanwhile they count as being there. */
  reopen(): Promise<void> {
    this.#reopening ??= this.#open().finally(() => {
      this.#reopening = undefined;
    });
    return this.#reopening;
  }

  async #open(): Promise<void> {
    const { mesh } = this.#subjects;
    this.#streams.demandJetStream();
    // Should somebody delete a stream, sequences must not begin at 1 again: what has been executed and what a snapshot holds is
    // told by sequences of before. The clock is far ahead of any of them: that would take a thousand writes a second all the time.
    const first_seq = Date.now();
    await Promise.all([
      this.#streams.make({
        name: this.journal,
        description: "Plexus entities: every command that was executed, with its events",
        subjects: [`${mesh}.log.>`],
        retention: RetentionPolicy.Limits,
        deny_delete: true,
        allow_atomic: true,
        first_seq,
      }),
      this.#streams.make({
        name: this.commands,
        description: "Plexus entities: durable commands; purged once the journal has them",
        subjects: [`${mesh}.cmd.>`],
        retention: RetentionPolicy.Limits,
        discard: DiscardPolicy.New,
        duplicate_window: DEDUPE_MS * NS_PER_MS,
        first_seq,
        republish: { src: `${mesh}.cmd.>`, dest: `${mesh}.stored.cmd.>` },
      }),
      this.#streams.make({
        name: this.snapshots,
        description:
          "Plexus entities: folded states, made again from the journal whenever they are missing",
        subjects: [`${mesh}.snap.>`],
        retention: RetentionPolicy.Limits,
        max_msgs_per_subject: 1,
        discard: DiscardPolicy.Old,
      }),
    ]);
  }
}
