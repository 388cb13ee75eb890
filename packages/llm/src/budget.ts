import {
  NOTHING,
  fitsIn,
  larger,
  minus,
  plus,
  share,
  smaller,
  total,
  type Amount,
} from "./amount.ts";

/** What a budget's record holds. It is changed by compare-and-set only. */
export interface BudgetRecord {
  /** What may be spent; whatever is Infinity is not limited. */
  readonly limit: Amount;
  /** Spent by processes that have given their grants back. */
  readonly settled: Amount;
  /** Granted to processes that are there, or have died: what they have spent of it is in a record of each one's own. */
  readonly granted: Readonly<Record<string, Amount>>;
  /** The highest threshold that was told of, as a fraction of the limit. */
  readonly alerted: number;
}

/** What one process has spent of its grant. Only that process writes it, until somebody seals it. */
export interface HolderRecord {
  readonly spent: Amount;
  /** The grant was taken from it, with this as its final word. */
  readonly sealed: boolean;
}

/** At most this share of a limit is granted ahead of need, and so blocked for good by a process that is killed. */
const AHEAD = 0.01;
/** And of what is left, so that the last cents are not shared out among processes that do not need them. */
const AHEAD_OF_REST = 0.25;

/** A budget that nobody has used. */
export function newBudget(limit: Amount): BudgetRecord {
  return { limit, settled: NOTHING, granted: {}, alerted: 0 };
}

/** What may still be granted. */
export function left({ limit, settled, granted }: BudgetRecord): Amount {
  return minus(limit, plus(settled, total(Object.values(granted))));
}

/**
 * Raises a holder's grant so that `need` more is free in it, and a little ahead so that not every call asks.
 * Undefined: the limit does not allow it. Pure, like everything here.
 */
export function grant(
  record: BudgetRecord,
  holder: string,
  need: Amount,
): BudgetRecord | undefined {
  const rest = left(record);
  if (!fitsIn(need, rest)) return undefined;
  const holders = Object.keys(record.granted).length + 1;
  const ahead = smaller(
    share(finite(record.limit), AHEAD),
    share(finite(minus(rest, need)), AHEAD_OF_REST / holders),
  );
  return withGrant(record, holder, plus(held(record, holder), larger(need, ahead)));
}

/** Grants without asking whether the limit allows it: for what has been spent already. */
export function force(record: BudgetRecord, holder: string, amount: Amount): BudgetRecord {
  return withGrant(record, holder, plus(held(record, holder), amount));
}

/** A holder keeps only `amount`. */
export function keep(record: BudgetRecord, holder: string, amount: Amount): BudgetRecord {
  return withGrant(record, holder, amount);
}

/** A holder leaves, having spent so much in all. What it has not spent may be granted again. */
export function fold(record: BudgetRecord, holder: string, spent: Amount): BudgetRecord {
  if (!(holder in record.granted)) return record;
  const { [holder]: _gone, ...granted } = record.granted;
  return { ...record, granted, settled: plus(record.settled, spent) };
}

/** What is gone or promised, as a fraction of the limit. */
export function used(record: BudgetRecord): number {
  const { limit } = record;
  const committed = minus(limit, left(record));
  const parts = [
    fraction(committed.nanoUsd, limit.nanoUsd),
    fraction(committed.tokens, limit.tokens),
  ];
  return Math.max(...parts);
}

/**
 * The highest of the thresholds that a change has crossed, and the record with a note of it; whoever's write of that note is
 * accepted tells, so it is told once.
 */
export function crossed(
  record: BudgetRecord,
  thresholds: readonly number[],
): { readonly record: BudgetRecord; readonly threshold: number | undefined } {
  const now = used(record);
  const threshold = Math.max(0, ...thresholds.filter((one) => one <= now && one > record.alerted));
  if (threshold === 0) return { record, threshold: undefined };
  return { record: { ...record, alerted: threshold }, threshold };
}

function withGrant(record: BudgetRecord, holder: string, amount: Amount): BudgetRecord {
  return { ...record, granted: { ...record.granted, [holder]: amount } };
}

function held(record: BudgetRecord, holder: string): Amount {
  return record.granted[holder] ?? NOTHING;
}

function fraction(part: number, whole: number): number {
  if (whole === Infinity) return 0;
  return whole === 0 ? 1 : part / whole;
}

/** Nothing is granted ahead of what has no limit: there is no need to. */
function finite(amount: Amount): Amount {
  return { nanoUsd: bounded(amount.nanoUsd), tokens: bounded(amount.tokens) };
}

function bounded(value: number): number {
  return Number.isFinite(value) ? Math.max(0, value) : 0;
}
