import * as z from "zod";

/** A calendar day, `yyyy-mm-dd`. Such strings sort as the days do, so they compare with `<`. */
export const IsoDate = z.iso.date();

/** A calendar month, `yyyy-mm`. */
export const IsoMonth = z.string().regex(/^\d{4}-(0[1-9]|1[0-2])$/);

const DAY_MS = 86_400_000;

/** `"2008-09-15"` to `"2008-09"`. */
export function monthOf(date: string): string {
  return date.slice(0, 7);
}

/** Months since year 0, so that months can be counted and subtracted. */
export function monthIndex(dateOrMonth: string): number {
  return Number(dateOrMonth.slice(0, 4)) * 12 + Number(dateOrMonth.slice(5, 7)) - 1;
}

/** The inverse of {@link monthIndex}. */
export function monthAt(index: number): string {
  const year = Math.floor(index / 12);
  return `${String(year).padStart(4, "0")}-${String(index - year * 12 + 1).padStart(2, "0")}`;
}

export function addMonths(month: string, months: number): string {
  return monthAt(monthIndex(month) + months);
}

/** Days since 1970-01-01 (UTC; there is no time of day in this domain). */
export function dayNumber(date: string): number {
  return Date.parse(`${date}T00:00:00Z`) / DAY_MS;
}

export function addDays(date: string, days: number): string {
  return new Date((dayNumber(date) + days) * DAY_MS).toISOString().slice(0, 10);
}
