import { toMs, type Duration } from "@plexus/core";
import type { From, Mesh, StoredEventContext } from "@plexus/mesh";
import { InvalidArgumentError, type Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { fired } from "./interrupt.ts";
import { countArgument, meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, toLine } from "./output.ts";
import { topicArgument } from "./topic-argument.ts";

interface ReplayCommandOptions extends MeshOptions {
  readonly from?: Date;
  readonly sequence?: number;
  readonly where?: Record<string, string>;
  readonly count?: number;
  readonly follow?: true;
}

const DURATION = /^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/;

/** `plexus topic replay` */
export function topicReplayCommand(): Command {
  return meshCommand("replay", "print the events that a durable topic has stored, oldest first")
    .argument("<topic>", "as it is declared: bars.{symbol}", topicArgument)
    .option(
      "--from <time>",
      'stored since then: a time, or how long ago, such as "10m"',
      timeArgument,
    )
    .option("--sequence <n>", "from this number on", countArgument)
    .option("--where <parameter=value...>", "only events with this value", whereArgument)
    .option("-n, --count <n>", "end after so many events", countArgument)
    .option("-f, --follow", "then show what is published, until Ctrl-C")
    .addHelpText(
      "after",
      "\nReads without taking anything from anybody. With --json: one line per event.",
    )
    .action((topic: string, options: ReplayCommandOptions) =>
      withMesh(options, (mesh, signal) => replay(mesh, topic, options, signal)),
    );
}

async function replay(
  mesh: Mesh,
  name: string,
  options: ReplayCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const { where = {}, count = Infinity } = options;
  const from = beginning(options);
  const topic = await mesh.topic(name);
  let shown = 0;
  const enough = Promise.withResolvers<void>();
  const show = async (value: unknown, context: StoredEventContext): Promise<void> => {
    if (shown >= count) return;
    if (options.json) printJson(asJson(value, context));
    else print(describe(value, context));
    if (++shown >= count) enough.resolve();
    // A reader of stdout that is slow slows the replay down: nothing is left out.
    if (process.stdout.writableNeedDrain) {
      await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
    }
  };
  await using subscription = await mesh.subscribe(topic, show, { from, where });
  const ends = [fired(signal), enough.promise];
  if (options.timeout !== undefined && options.follow) ends.push(after(toMs(options.timeout)));
  if (!options.follow) ends.push(subscription.caughtUp);
  await Promise.race(ends);
}

function beginning({ from, sequence }: ReplayCommandOptions): From {
  if (from !== undefined && sequence !== undefined) {
    throw new UsageError("--from and --sequence both say where to begin: use one of them.");
  }
  if (sequence !== undefined) return { sequence };
  return from === undefined ? "all" : { time: from };
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

function asJson(value: unknown, context: StoredEventContext): object {
  const { sequence, partition, eventId, subject, sender, sentAt, storedAt } = context;
  return { sequence, partition, id: eventId, subject, sender, sentAt, storedAt, value };
}

/** `2026-01-31 12:34:56.789 17 bars.SPX  { … }` */
function describe(value: unknown, { sequence, subject, storedAt }: StoredEventContext): string {
  const time = new Date(storedAt).toISOString().slice(0, 23).replace("T", " ");
  return `${paint("dim", time)} ${paint("cyan", String(sequence))} ${subject}  ${toLine(value)}`;
}

function timeArgument(text: string): Date {
  const time = DURATION.test(text) ? Date.now() - toMs(text as Duration) : Date.parse(text);
  if (Number.isNaN(time)) {
    throw new InvalidArgumentError(
      'Use a time such as "2026-01-31T09:30:00Z", or "10m" for ten minutes ago.',
    );
  }
  return new Date(time);
}

function whereArgument(text: string, earlier: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Write it like symbol=SPX.");
  return { ...earlier, [text.slice(0, at)]: text.slice(at + 1) };
}
