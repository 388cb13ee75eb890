import { pino } from "pino";

/** The part of pino that Plexus uses; any logger with these members will do. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

/** Structured JSON lines on standard error; level from PLEXUS_LOG_LEVEL, default `warn`. */
export function createLogger(fields: object): Logger {
  const level = process.env["PLEXUS_LOG_LEVEL"] ?? "warn";
  return pino(
    {
      level: level in pino.levels.values || level === "silent" ? level : "warn",
      base: fields,
      serializers: { err: described },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}

/** What handlers throw may throw once more when it is looked at: whoever logs it goes on all the same. */
function described(error: unknown): unknown {
  try {
    return pino.stdSerializers.err(error as Error);
  } catch {
    return { message: "it cannot be described" };
  }
}
