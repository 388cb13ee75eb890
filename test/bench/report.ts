import { availableParallelism } from "node:os";
import { CONTENDERS } from "./contenders/contender.ts";
import type { Outcome } from "./rounds.ts";

export interface Report extends Omit<Outcome, "missing"> {
  readonly bench: string;
  readonly node: string;
  readonly cores: number;
  /** Only when there is one: contenders that could not be measured, and why. */
  readonly missing?: Outcome["missing"];
}

export function reportOf(bench: string, outcome: Outcome): Report {
  const { broker, cases, ratios, missing } = outcome;
  return {
    bench,
    node: process.versions.node,
    broker,
    cores: availableParallelism(),
    cases,
    ratios,
    ...(missing.length > 0 ? { missing } : {}),
  };
}

/** One line of JSON; numbers keep four decimals. */
export function asJson(report: Report): string {
  return JSON.stringify(report, (_, value: unknown) =>
    typeof value === "number" ? Math.round(value * 1e4) / 1e4 : value,
  );
}

/** A table for people. */
export function asTable(
  report: Report,
  descriptions: Readonly<Record<string, string>> = CONTENDERS,
): string {
  const { bench, node, broker, cores, cases, ratios, missing = [] } = report;
  const title = `${bench} · node ${node} · nats-server ${broker} · ${cores} cores`;
  const contenders = new Set(cases.map(({ contender }) => contender));
  const legend = Object.entries(descriptions)
    .filter(([contender]) => contenders.has(contender))
    .map(([contender, description]) => `${contender}: ${description}`);
  const measured = Map.groupBy(cases, ({ name }) => name);
  const rows = [...measured.values()]
    .flat()
    .map(({ name, contender, median, min, max, unit }) => [
      name,
      contender,
      figure(median),
      `${figure(min)}–${figure(max)}`,
      unit,
    ]);
  const bars = ratios.map(({ name, value, bar, ok }) => [
    ok ? "ok" : "MISSED",
    name,
    value === null ? "not measured" : figure(value),
    figure(bar),
  ]);
  return [
    title,
    ...legend,
    "",
    ...aligned([["case", "contender", "median", "min–max", "unit"], ...rows], [2, 3]),
    ...(bars.length > 0 ? ["", ...aligned([["", "bar", "value", "bar at"], ...bars], [2, 3])] : []),
    ...missing.map(({ contender, reason }) => `\nMISSING: ${contender}: ${reason}`),
  ].join("\n");
}

function figure(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) {
    return Math.round(value).toLocaleString("en-US");
  }
  return value.toPrecision(3);
}

function aligned(rows: readonly string[][], toTheRight: readonly number[]): string[] {
  const width = (column: number): number =>
    Math.max(...rows.map((row) => (row[column] ?? "").length));
  const widths = (rows[0] ?? []).map((_, column) => width(column));
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const size = widths[column] ?? 0;
        return toTheRight.includes(column) ? cell.padStart(size) : cell.padEnd(size);
      })
      .join("  ")
      .trimEnd(),
  );
}
