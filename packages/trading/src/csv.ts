import { TradingError } from "./errors.ts";

/** One data row; the readers throw `BAD_DATA` naming file, line and column. */
export interface CsvRow {
  text(column: string): string;
  /** Parses a field; a parser that answers `undefined` has refused the text. */
  parse<T>(column: string, expected: string, parser: (text: string) => T | undefined): T;
  fail(column: string, problem: string): never;
}

/**
 * Strict reader for the plain CSV of the data package: a header with at least `columns`, no quoting, the same number of
 * fields on every line, no blank lines. LF or CRLF; the last line may lack its line end.
 */
export function parseCsv(file: string, text: string, columns: readonly string[]): CsvRow[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const header = (lines[0] ?? "").split(",");
  const positions = new Map(columns.map((column) => [column, header.indexOf(column)]));
  for (const [column, position] of positions) {
    if (position < 0) fail(file, 1, column, `missing from the header "${lines[0] ?? ""}"`);
  }
  return lines.slice(1).map((line, index) => {
    const fields = line.split(",");
    const number = index + 2;
    if (line.includes('"')) fail(file, number, header[0] ?? "", "quoted fields are not supported");
    if (fields.length !== header.length) {
      const column = header[Math.min(fields.length, header.length - 1)] ?? "";
      fail(file, number, column, `expected ${header.length} fields, found ${fields.length}`);
    }
    return row(file, number, fields, positions);
  });
}

function row(
  file: string,
  line: number,
  fields: readonly string[],
  positions: ReadonlyMap<string, number>,
): CsvRow {
  const text = (column: string): string => fields[positions.get(column) ?? -1] ?? "";
  return {
    text,
    parse(column, expected, parser) {
      const value = parser(text(column));
      return value ?? fail(file, line, column, `expected ${expected}, found "${text(column)}"`);
    },
    fail: (column, problem) => fail(file, line, column, problem),
  };
}

function fail(file: string, line: number, column: string, problem: string): never {
  throw new TradingError("BAD_DATA", `${file}, line ${line}, column ${column}: ${problem}`);
}
