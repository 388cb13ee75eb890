import type { Part } from "./part.ts";

/** What is sold, where it lies and what it weighs. */
export const goods: readonly Part[] = [
  {
    name: "catalog",
    code: `
/** The item with this code. */
export function getProd(items: Map<string, Item>, code: string): Item {
  return items.get(code)!;
}

/** Codes of a category, sorted. */
export function listCatCodes(items: Map<string, Item>, category: string): string[] {
  const codes: string[] = [];
  [...items.values()].forEach((item) => {
    if (item.category == category) codes.push(item.code);
  });
  return codes.sort();
}

/** A label for the shelf: code and name. */
export function fmtProdLabel(code: string, name: string): string {
  const shown = isBlank(name) ? "(no name)" : name;
  return padText(code, 8) + shown;
}

/** Whether a code is one that the scanner reads. */
export function chkProdCode(code: string): boolean {
  return code.length == 6 && !isBlank(code);
}

/** Old label of the paper catalogue. */
export function fmtPaperLabel(code: string): string {
  return "No. " + padText(code, 8);
}`,
    tests: `
test("getProd finds an item by its code", () => {
  assert.equal(getProd(items(), "AP-001").name, "Apple");
});

test("listCatCodes sorts the codes of a category", () => {
  assert.deepEqual(listCatCodes(items(), "fruit"), ["AP-001", "PE-002"]);
});

test("fmtProdLabel pads the code", () => {
  assert.equal(fmtProdLabel("AP-001", "Apple"), "AP-001  Apple");
  assert.equal(fmtProdLabel("AP-001", " "), "AP-001  (no name)");
});

test("chkProdCode wants six characters", () => {
  assert.equal(chkProdCode("AP-001"), true);
  assert.equal(chkProdCode("AP"), false);
});`,
    dead: ["fmtPaperLabel"],
  },
  {
    name: "stock",
    code: `
/** How many of a code can be sold. */
export function getAvailQty(stock: Map<string, StockLevel>, code: string): number {
  const level = stock.get(code)!;
  return clampNumber(level.onHand - level.reserved, 0, level.onHand);
}

/** Takes a quantity out of what can be sold. */
export function reserveQty(level: StockLevel, qty: number): StockLevel {
  return { ...level, reserved: clampNumber(level.reserved + qty, 0, level.onHand) };
}

/** Codes that are about to run out. */
export function listLowCodes(stock: Map<string, StockLevel>, limit: number): string[] {
  const low: string[] = [];
  [...stock.keys()].forEach((code) => {
    if (getAvailQty(stock, code) < limit) low.push(code);
  });
  return low;
}

/** How many to order so that there are enough for some days. */
export function calcRefillQty(perDay: number, days: number, onHand: number): number {
  return clampNumber(Math.ceil(perDay * days) - onHand, 0, 9999);
}`,
    tests: `
test("getAvailQty leaves out what is reserved", () => {
  assert.equal(getAvailQty(stock(), "AP-001"), 7);
});

test("reserveQty never reserves more than there is", () => {
  assert.equal(reserveQty({ onHand: 3, reserved: 1 }, 9).reserved, 3);
});

test("listLowCodes names what runs out", () => {
  assert.deepEqual(listLowCodes(stock(), 5), ["PE-002"]);
});

test("calcRefillQty fills up for some days", () => {
  assert.equal(calcRefillQty(2.5, 4, 3), 7);
});`,
  },
  {
    name: "weights",
    code: `
/** Grams of a number of pieces. */
export function calcLineWgt(gramsEach: number, qty: number): number {
  return roundCents(gramsEach * qty);
}

/** Grams of all lines together. */
export function calcTotWgt(lines: Line[]): number {
  let grams = 0;
  lines.forEach((line) => {
    grams += calcLineWgt(line.item.grams, line.qty);
  });
  return grams;
}

/** Kilograms in words. */
export function fmtWgt(grams: number): string {
  return grams == 0 ? "nothing" : (grams / 1000).toFixed(1) + " kg";
}

/** Pounds, for the export that was given up. */
export function calcPounds(grams: number): number {
  return roundCents(grams / 453.59237);
}`,
    tests: `
test("calcLineWgt multiplies", () => {
  assert.equal(calcLineWgt(150, 4), 600);
});

test("calcTotWgt adds the lines", () => {
  assert.equal(calcTotWgt(lines()), 520);
});

test("fmtWgt shows kilograms", () => {
  assert.equal(fmtWgt(1260), "1.3 kg");
  assert.equal(fmtWgt(0), "nothing");
});`,
    dead: ["calcPounds"],
  },
  {
    name: "warehouse",
    code: `
/** The shelf on which an item lies. */
export function getShelf(shelves: Map<string, string>, code: string): string {
  return shelves.get(code)!;
}

/** The way through the warehouse: shelves in order, each once. */
export function planPickRoute(shelves: Map<string, string>, lines: Line[]): string[] {
  const route = new Set<string>();
  lines.forEach((line) => {
    route.add(getShelf(shelves, line.item.code));
  });
  return [...route].sort();
}

/** A line of the picking list. */
export function fmtPickLine(shelf: string, name: string, qty: number): string {
  return padText(shelf, 6) + padText(String(qty), 4) + name;
}

/** Pallets for a number of boxes. */
export function calcPalletCnt(boxes: number, perPallet: number): number {
  return perPallet == 0 ? 0 : Math.ceil(boxes / perPallet);
}`,
    tests: `
test("getShelf knows where an item lies", () => {
  assert.equal(getShelf(shelves(), "AP-001"), "B2");
});

test("planPickRoute visits each shelf once", () => {
  assert.deepEqual(planPickRoute(shelves(), lines()), ["A1", "B2"]);
});

test("fmtPickLine aligns shelf and number", () => {
  assert.equal(fmtPickLine("B2", "Apple", 3), "B2    3   Apple");
});

test("calcPalletCnt rounds up", () => {
  assert.equal(calcPalletCnt(21, 10), 3);
  assert.equal(calcPalletCnt(21, 0), 0);
});`,
  },
];
