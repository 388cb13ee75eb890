import type { Logger } from "@plexus/mesh";

/** Says nothing: a campaign is full of failures that are meant. */
export const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quiet,
};
