import type { Part } from "./part.ts";

/** From the cart to the invoice. */
export const orders: readonly Part[] = [
  {
    name: "cart",
    code: `
/** What a line costs, in cents. */
export function calcLineAmt(line: Line): number {
  return roundCents(line.item.cents * line.qty);
}

/** What a cart costs, in cents. */
export function calcCartTot(lines: Line[]): number {
  let sum = 0;
  lines.forEach((line) => {
    sum += calcLineAmt(line);
  });
  return sum;
}

/** A cart with another line, or more of the same. */
export function addCartQty(lines: Line[], item: Item, qty: number): Line[] {
  const known = lines.some((line) => line.item.code == item.code);
  if (!known) return [...lines, { item, qty }];
  return lines.map((line) =>
    line.item.code == item.code ? { item, qty: line.qty + qty } : line,
  );
}

/** How many pieces there are in a cart. */
export function cntCartQty(lines: Line[]): number {
  return lines.reduce((sum, line) => sum + line.qty, 0);
}`,
    tests: `
test("calcLineAmt multiplies price and quantity", () => {
  assert.equal(calcLineAmt(lines()[0]), 240);
});

test("calcCartTot adds the lines", () => {
  assert.equal(calcCartTot(lines()), 300);
});

test("addCartQty adds to a line that is there", () => {
  const more = addCartQty(lines(), lines()[0].item, 2);
  assert.deepEqual(more.map((line) => line.qty), [5, 1]);
});

test("cntCartQty counts pieces", () => {
  assert.equal(cntCartQty(lines()), 4);
});`,
  },
  {
    name: "discounts",
    code: `
/** Percent that a coupon takes off; a cart without one has none. */
export function getDiscPct(coupon: string | null | undefined): number {
  if (coupon == null) return 0;
  return coupon == "SPRING" ? 15 : 5;
}

/** What a discount is worth, in cents. */
export function calcDiscAmt(cents: number, percent: number): number {
  return roundCents((cents * clampNumber(percent, 0, 100)) / 100);
}

/** What is left of an amount. */
export function applyDisc(cents: number, percent: number): number {
  return cents - calcDiscAmt(cents, percent);
}

/** Loyalty in words. */
export function fmtLoyaltyMsg(orders: number): string {
  return orders == 0 ? "Welcome!" : "Thank you for " + orders + " orders.";
}`,
    tests: `
test("getDiscPct is nothing without a coupon", () => {
  assert.equal(getDiscPct(undefined), 0);
  assert.equal(getDiscPct(null), 0);
  assert.equal(getDiscPct("SPRING"), 15);
});

test("calcDiscAmt stays within the amount", () => {
  assert.equal(calcDiscAmt(1000, 15), 150);
  assert.equal(calcDiscAmt(1000, 200), 1000);
});

test("applyDisc takes it off", () => {
  assert.equal(applyDisc(1000, 15), 850);
});

test("fmtLoyaltyMsg welcomes a new one", () => {
  assert.equal(fmtLoyaltyMsg(0), "Welcome!");
});`,
    tested: ["getDiscPct"],
  },
  {
    name: "taxes",
    code: `
/** Percent of tax of a category. */
export function getTaxPct(category: string): number {
  return category == "fruit" ? 7 : 19;
}

/** Tax within a gross amount, in cents. */
export function calcTaxAmt(cents: number, percent: number): number {
  return roundCents((cents * percent) / (100 + percent));
}

/** Tax of all lines, in cents. */
export function calcCartTax(lines: Line[]): number {
  let tax = 0;
  lines.forEach((line) => {
    tax += calcTaxAmt(calcLineAmt(line), getTaxPct(line.item.category));
  });
  return tax;
}

/** Tax as it was before the reform. */
export function calcOldTaxAmt(cents: number): number {
  return roundCents(cents * 0.16);
}`,
    tests: `
test("getTaxPct is lower for food", () => {
  assert.equal(getTaxPct("fruit"), 7);
  assert.equal(getTaxPct("tools"), 19);
});

test("calcTaxAmt takes the tax out of the gross", () => {
  assert.equal(calcTaxAmt(107, 7), 7);
});

test("calcCartTax adds the lines", () => {
  assert.equal(calcCartTax(lines()), 20);
});`,
    dead: ["calcOldTaxAmt"],
  },
  {
    name: "shipping",
    code: `
/** What a parcel costs to send, in cents, by its weight. */
export function calcShipAmt(grams: number, express: boolean): number {
  const base = 390 + 50 * clampNumber(Math.floor(grams / 500), 0, 20);
  return express == true ? base * 2 : base;
}

/** What a cart costs to send. */
export function calcCartShipAmt(lines: Line[], express: boolean): number {
  return lines.length == 0 ? 0 : calcShipAmt(calcTotWgt(lines), express);
}

/** Days until it is there. */
export function estShipDays(zone: number, express: boolean): number {
  return express ? 1 : clampNumber(zone + 1, 2, 7);
}

/** A line for the label. */
export function fmtShipLine(name: string, grams: number): string {
  return padText(name, 20) + fmtWgt(grams);
}`,
    tests: `
test("calcShipAmt grows with the weight", () => {
  assert.equal(calcShipAmt(1200, false), 490);
  assert.equal(calcShipAmt(1200, true), 980);
});

test("calcCartShipAmt sends nothing for nothing", () => {
  assert.equal(calcCartShipAmt([], false), 0);
  assert.equal(calcCartShipAmt(lines(), false), 440);
});

test("estShipDays is a day with express", () => {
  assert.equal(estShipDays(3, true), 1);
  assert.equal(estShipDays(3, false), 4);
});

test("fmtShipLine aligns the weight", () => {
  assert.equal(fmtShipLine("Apple", 500), "Apple               0.5 kg");
});`,
  },
  {
    name: "checkout",
    code: `
/** What has to be paid for a cart, in cents. */
export function calcOrdTot(lines: Line[], coupon: string | undefined): number {
  const goods = applyDisc(calcCartTot(lines), getDiscPct(coupon));
  return goods + calcCartShipAmt(lines, false);
}

/** An order with all its figures. */
export function placeOrd(id: string, lines: Line[], coupon: string | undefined): Order {
  return { id, lines, total: calcOrdTot(lines, coupon), tax: calcCartTax(lines) };
}

/** Whether a cart can be ordered. */
export function chkCart(lines: Line[], stock: Map<string, StockLevel>): boolean {
  return lines.every((line) => line.qty <= getAvailQty(stock, line.item.code));
}

/** What is given back when somebody pays cash, in cents. */
export function calcChangeAmt(paid: number, total: number): number {
  return clampNumber(paid - total, 0, paid);
}`,
    tests: `
test("calcOrdTot adds goods, discount and shipping", () => {
  assert.equal(calcOrdTot(lines(), undefined), 740);
  assert.equal(calcOrdTot(lines(), "SPRING"), 695);
});

test("placeOrd has total and tax", () => {
  const order = placeOrd("A1", lines(), undefined);
  assert.deepEqual([order.total, order.tax], [740, 20]);
});

test("chkCart wants everything in stock", () => {
  assert.equal(chkCart(lines(), stock()), true);
});

test("calcChangeAmt gives back what is too much", () => {
  assert.equal(calcChangeAmt(1000, 740), 260);
});`,
    tested: ["calcOrdTot"],
  },
  {
    name: "invoices",
    code: `
/** The number that is printed on an invoice. */
export function fmtInvNum(year: number, sequence: number): string {
  return year + "-" + String(sequence).padStart(5, "0");
}

/** The lines of an invoice as text. */
export function fmtInvLines(order: Order): string[] {
  const text: string[] = [];
  order.lines.forEach((line) => {
    text.push(padText(line.item.name, 12) + fmtMoney(calcLineAmt(line)));
  });
  return text;
}

/** The end of an invoice: total and tax in it. */
export function fmtInvTot(order: Order): string {
  return "Total " + fmtMoney(order.total) + ", tax " + fmtMoney(order.tax);
}

/** Whether an invoice is due, by days. */
export function chkInvDue(age: number, terms: number): boolean {
  return terms == 0 || age > terms;
}`,
    tests: `
test("fmtInvNum counts within the year", () => {
  assert.equal(fmtInvNum(2026, 42), "2026-00042");
});

test("fmtInvLines has a line for each", () => {
  assert.deepEqual(fmtInvLines(order()), ["Apple       2.40", "Pear        0.60"]);
});

test("fmtInvTot has the tax", () => {
  assert.equal(fmtInvTot(order()), "Total 7.40, tax 0.20");
});

test("chkInvDue waits for the terms", () => {
  assert.equal(chkInvDue(31, 30), true);
  assert.equal(chkInvDue(1, 0), true);
});`,
  },
  {
    name: "returns",
    code: `
/** The order that is given back. */
export function getRetOrd(orders: Map<string, Order>, id: string): Order {
  return orders.get(id)!;
}

/** What is paid back for some pieces of a line, in cents. */
export function calcRefundAmt(line: Line, qty: number): number {
  return roundCents(line.item.cents * clampNumber(qty, 0, line.qty));
}

/** Whether it may still be given back, by days. */
export function chkRetDays(days: number): boolean {
  return days == 0 || days <= 30;
}

/** The reason as it is written down. */
export function fmtRetMsg(reason: string): string {
  return isBlank(reason) ? "no reason given" : reason.trim();
}`,
    tests: `
test("getRetOrd finds the order", () => {
  assert.equal(getRetOrd(new Map([["A1", order()]]), "A1").total, 740);
});

test("calcRefundAmt pays no more than was bought", () => {
  assert.equal(calcRefundAmt(lines()[0], 9), 240);
});

test("chkRetDays allows a month", () => {
  assert.equal(chkRetDays(30), true);
  assert.equal(chkRetDays(31), false);
});

test("fmtRetMsg trims", () => {
  assert.equal(fmtRetMsg(" broken "), "broken");
});`,
  },
];
