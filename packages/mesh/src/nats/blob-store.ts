import { createHash } from "node:crypto";
import { DiscardPolicy, RetentionPolicy } from "@nats-io/jetstream";
import { MeshError, isMeshError, type Subjects } from "@plexus/core";
import type { JetStream } from "./jetstream.ts";
import type { Link } from "./link.ts";
import { Streams } from "./streams.ts";

/** Names a content by what is in it. */
export interface BlobName {
  /** SHA-256, base64url. */
  readonly hash: string;
  readonly size: number;
}

/** The largest content that a workspace takes. */
const MAX_BLOB = 32 * 1024 * 1024;
/** Fixed, as readers know by it in how many parts a content is. A quarter of the broker's default limit. */
const PART = 256 * 1024;
const PARTS_AT_ONCE = 16;
const ABSENT = "absent";

/**
 * Contents of files, one message each or, beyond 256 KiB, one for each part. The first message on a subject stays, so that writing
 * the same content again stores nothing.
 */
export class BlobStore {
  readonly stream: string;
  readonly #js: JetStream;
  readonly #streams: Streams;
  readonly #subjects: Subjects;
  #opened: Promise<void> | undefined;

  constructor(js: JetStream, link: Link, subjects: Subjects) {
    this.#js = js;
    this.#streams = new Streams(link);
    this.#subjects = subjects;
    this.stream = `${subjects.mesh}-blobs`;
  }

  /** Makes sure that the stream exists. */
  open(): Promise<void> {
    this.#opened ??= this.#make().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  /** It has to be made sure of again: the broker may have lost it. */
  forget(): void {
    this.#opened = undefined;
  }

  /** Stores a content. Rejects with `MESSAGE_TOO_LARGE` beyond {@link MAX_BLOB}; safe to repeat. */
  async put(content: Uint8Array): Promise<BlobName> {
    const name = nameOf(content);
    if (name.size > MAX_BLOB) {
      const text = `A file of ${name.size} bytes is larger than the ${MAX_BLOB} that a workspace takes.`;
      throw new MeshError("MESSAGE_TOO_LARGE", text);
    }
    await this.open();
    await inParts(name.size, async (part) => {
      const bytes = content.subarray(part * PART, (part + 1) * PART);
      try {
        await this.#js.publish(this.#subjects.blob(name.hash, part), bytes);
      } catch (error) {
        if (!isMeshError(error, "CONFLICT")) throw error; // else it is there already
      }
    });
    return name;
  }

  /** Reads a content and checks it against its name. Rejects with `NO_FILE` if it is not there, `BAD_MESSAGE` if it is damaged. */
  async get({ hash, size }: BlobName): Promise<Uint8Array> {
    await this.open();
    const content = new Uint8Array(size);
    await inParts(size, async (part) => {
      const subject = this.#subjects.blob(hash, part);
      const [near] = await this.#js.lastOf(this.stream, [subject]);
      const found = near ?? (await this.#js.last(this.stream, subject)); // a replica may be behind its leader
      if (found === undefined) {
        throw new MeshError("NO_FILE", `The content ${hash} is not stored.`, { details: ABSENT });
      }
      const room = Math.min(PART, size - part * PART);
      content.set(found.data.subarray(0, room), part * PART);
    });
    if (nameOf(content).hash === hash) return content;
    throw new MeshError("BAD_MESSAGE", `What is stored as the content ${hash} is another one.`);
  }

  async #make(): Promise<void> {
    this.#streams.demandJetStream();
    await this.#streams.make({
      name: this.stream,
      description: "Plexus workspaces: contents of files, by their hashes",
      subjects: [this.#subjects.blob("*", 0).replace(/0$/, "*")],
      retention: RetentionPolicy.Limits,
      max_msgs_per_subject: 1,
      discard: DiscardPolicy.New,
      discard_new_per_subject: true,
    });
  }
}

/** The name of a content. */
export function nameOf(content: Uint8Array): BlobName {
  return { hash: createHash("sha256").update(content).digest("base64url"), size: content.length };
}

/** Runs `work` for each part of so many bytes, some at a time. */
async function inParts(size: number, work: (part: number) => Promise<void>): Promise<void> {
  const parts = Math.ceil(size / PART);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < parts) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(parts, PARTS_AT_ONCE) }, lane));
}
