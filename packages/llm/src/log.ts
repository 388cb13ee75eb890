/** Where the model layer writes what an operator should know; pino's loggers and a mesh's `log` are such. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export const silentLog: Log = { info: () => undefined, warn: () => undefined };
