import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

/**
 * Node's own SQLite as LangGraph's saver expects better-sqlite3, which would have to be compiled. Set as that one is: a write-ahead log
 * that is synced at checkpoints.
 */
export function openSqlite(path: string): object {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA synchronous = NORMAL");
  return {
    pragma: (text: string) => db.exec(`PRAGMA ${text}`),
    exec: (text: string) => db.exec(text),
    prepare: (text: string) => statement(db.prepare(text)),
    transaction:
      (work: (...args: unknown[]) => unknown) =>
      (...args: unknown[]): unknown => {
        db.exec("BEGIN");
        try {
          const result = work(...args);
          db.exec("COMMIT");
          return result;
        } catch (error) {
          db.exec("ROLLBACK");
          throw error;
        }
      },
  };
}

const bound = (args: readonly unknown[]) => args.map((one) => (one ?? null) as SQLInputValue);

function statement(prepared: StatementSync) {
  return {
    run: (...args: unknown[]) => prepared.run(...bound(args)),
    get: (...args: unknown[]) => prepared.get(...bound(args)),
    all: (...args: unknown[]) => prepared.all(...bound(args)),
  };
}
