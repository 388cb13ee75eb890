/** `-1234567` to `-$12,345.67`. */
export function money(cents: number): string {
  const sign = cents < 0 ? "-" : "";
  const amount = (Math.abs(cents) / 100).toLocaleString("en-US", {
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
  });
  return `${sign}$${amount}`;
}

export function gain(cents: number): string {
  return cents > 0 ? `+${money(cents)}` : money(cents);
}

/** Basis points as percent: `1234` to `12.3 %`. */
export function percent(bps: number): string {
  return `${(bps / 100).toFixed(1)} %`;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** Milliseconds with as many digits as tell something. */
export function ms(value: number): string {
  if (value < 10) return value.toFixed(2);
  return value < 100 ? value.toFixed(1) : count(value);
}

/** Minutes and seconds. */
export function clock(elapsedMs: number): string {
  const seconds = Math.floor(elapsedMs / 1_000);
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Columns padded to the widest cell: the first to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[], indent = "  "): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  return rows.map((row) =>
    (
      indent +
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  ")
    ).trimEnd(),
  );
}
