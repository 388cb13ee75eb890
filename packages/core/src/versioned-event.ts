import type { z } from "zod";
import { MeshError } from "./errors.ts";
import { isSchema } from "./schema.ts";
import { token } from "./token.ts";

/** Turns the data of one version of an event into that of the next one. Pure. */
// oxlint-disable-next-line typescript/no-explicit-any -- an upcaster names the shape that it knows was recorded
export type Upcast = (data: any) => unknown;

/** An event whose shape has changed since the first ones were recorded. */
export interface VersionedEvent<Schema extends z.ZodType = z.ZodType> {
  /** What is recorded now. Events that name none are of version 1. */
  readonly version: number;
  readonly schema: Schema;
  /** From each version that may still be stored to the next one: `{ 1: (data) => … }` leads to version 2. */
  readonly upcast: Readonly<Record<number, Upcast>>;
}

/** One kind of event: its schema, or that and how to read older ones. */
export type EventSpec = z.ZodType | VersionedEvent;

/** The schema of what an event carries now. */
export type SchemaOf<Spec extends EventSpec> =
  Spec extends VersionedEvent<infer Schema> ? Schema : Spec extends z.ZodType ? Spec : never;

/** An event as it is recorded: version 1 if none is named. */
export type RecordedEvent = readonly [type: string, data: unknown, version?: number];

/** The kinds of events that a contract knows, and how each is recorded and read. */
export class EventTypes {
  readonly #owner: string;
  readonly #types = new Map<string, VersionedEvent>();

  /**
   * Throws `INVALID_CONTRACT` for what is malformed.
   * @param owner for messages: "Journal orders"
   */
  constructor(owner: string, specs: Readonly<Record<string, EventSpec>>) {
    this.#owner = owner;
    for (const [type, spec] of Object.entries(specs)) {
      token(`${owner}: event name`, type);
      this.#types.set(type, resolve(`${owner}: event ${type}`, spec));
    }
  }

  /**
   * An event as it is recorded now. Throws `INVALID_CONTRACT` for one that the contract does not have, `INVALID_INPUT` for
   * data outside its schema.
   * @param parsed record what the schema makes of the data, not the data itself
   */
  record(type: string, data: unknown, parsed = false): RecordedEvent {
    const known = this.#types.get(type);
    if (known === undefined) {
      throw new MeshError("INVALID_CONTRACT", `${this.#owner} has no event ${type}.`);
    }
    const result = known.schema.safeParse(data);
    if (!result.success) {
      const why = issues(result.error);
      throw new MeshError("INVALID_INPUT", `${this.#owner}: event ${type}: ${why}`, {
        details: result.error.issues,
      });
    }
    const kept = parsed ? result.data : data;
    return known.version === 1 ? [type, kept] : [type, kept, known.version];
  }

  /**
   * The data of a recorded event as the contract has it now: brought up from its version, and parsed. Throws
   * `INCOMPATIBLE_EVENT`, which names the contract, the event and its version.
   */
  read([type, data, version = 1]: RecordedEvent): unknown {
    const known = this.#types.get(type);
    if (known === undefined)
      throw this.#incompatible(type, version, "the contract has no such event");
    const current = version === known.version ? data : this.#upcast(known, type, data, version);
    const result = known.schema.safeParse(current);
    if (result.success) return result.data;
    throw this.#incompatible(type, version, issues(result.error), result.error);
  }

  #upcast(known: VersionedEvent, type: string, data: unknown, version: number): unknown {
    if (!(version < known.version)) {
      const text = `the contract knows it up to version ${known.version}`;
      throw this.#incompatible(type, version, text);
    }
    let current = data;
    for (let from = version; from < known.version; from++) {
      const upcast = known.upcast[from];
      if (upcast === undefined) {
        throw this.#incompatible(type, version, `there is no upcaster from version ${from}`);
      }
      try {
        current = upcast(current);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        const text = `the upcaster from version ${from} failed: ${why}`;
        throw this.#incompatible(type, version, text, cause);
      }
    }
    return current;
  }

  #incompatible(type: string, version: number, why: string, cause?: unknown): MeshError {
    const text = `${this.#owner}: a stored event ${type} of version ${version} cannot be read: ${why}.`;
    return new MeshError("INCOMPATIBLE_EVENT", text, { cause, details: { type, version } });
  }
}

/** A recorded event as part of a record's list: in an array, `undefined` would travel as null. */
export function packEvent([type, data, version = 1]: RecordedEvent): readonly unknown[] {
  if (version === 1) return data === undefined ? [type] : [type, data];
  return data === undefined ? [type, null, version, true] : [type, data, version];
}

/** The inverse of {@link packEvent}. Throws `BAD_MESSAGE` for what is no recorded event. */
export function unpackEvent(packed: unknown): RecordedEvent {
  if (Array.isArray(packed)) {
    const [type, data, version, empty] = packed as [unknown, unknown, unknown, unknown];
    if (typeof type === "string") {
      if (version === undefined) return [type, data];
      if (Number.isSafeInteger(version) && (version as number) >= 1) {
        return [type, empty === true ? undefined : data, version as number];
      }
    }
  }
  throw new MeshError("BAD_MESSAGE", "Not a recorded event: it is no [type, data, version].");
}

function resolve(what: string, spec: EventSpec): VersionedEvent {
  const demand = (condition: boolean, text: string): void => {
    if (!condition) throw new MeshError("INVALID_CONTRACT", `${what} ${text}.`);
  };
  if (isSchema(spec)) return { version: 1, schema: spec, upcast: {} };
  const { version, schema, upcast = {} } = (spec ?? {}) as Partial<VersionedEvent>;
  demand(isSchema(schema), "is not a zod schema, nor { version, schema, upcast }");
  demand(Number.isSafeInteger(version) && version! >= 1, "needs a version, a whole number from 1");
  for (const [from, step] of Object.entries(upcast)) {
    const number = Number(from);
    demand(
      Number.isInteger(number) && number >= 1 && number < version!,
      `has an upcaster from ${from}, which leads to no version up to ${version}`,
    );
    demand(
      typeof step === "function",
      `has an upcaster from version ${from} that is not a function`,
    );
  }
  return { version: version!, schema: schema!, upcast };
}

function issues(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map(({ path, message }) =>
      path.length > 0 ? `${path.map(String).join(".")}: ${message}` : message,
    )
    .join("; ");
}
