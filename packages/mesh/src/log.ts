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
    { level: level in pino.levels.values || level === "silent" ? level : "warn", base: fields },
    pino.destination({ dest: 2, sync: true }),
  );
}
