import { topic } from "@plexus/core";
import { InvalidArgumentError } from "commander";
import { z } from "zod";

/** The text of an argument that is the name of a topic, as it is declared. */
export function topicArgument(text: string): string {
  try {
    return topic(text, { schema: z.unknown() }).name;
  } catch {
    throw new InvalidArgumentError("Use a topic's name as it is declared, such as bars.{symbol}.");
  }
}
