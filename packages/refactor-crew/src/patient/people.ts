import type { Part } from "./part.ts";

/** Who buys, who is told, and what the shop looks at in the evening. */
export const people: readonly Part[] = [
  {
    name: "customers",
    code: `
/** The customer with this number. */
export function getCust(customers: Map<string, Customer>, id: string): Customer {
  return customers.get(id)!;
}

/** How a customer is addressed. */
export function fmtCustName(customer: Customer): string {
  return isBlank(customer.name) ? "Customer" : customer.name.trim();
}

/** Whether an address can be written to. */
export function chkCustMail(mail: string): boolean {
  return !isBlank(mail) && mail.indexOf("@") > 0;
}

/** Customers of a city, sorted by name. */
export function listCustByCity(customers: Map<string, Customer>, city: string): string[] {
  const names: string[] = [];
  [...customers.values()].forEach((customer) => {
    if (customer.address.city == city) names.push(fmtCustName(customer));
  });
  return names.sort();
}`,
    tests: `
test("getCust finds a customer", () => {
  assert.equal(getCust(customers(), "C1").name, " Ada ");
});

test("fmtCustName trims", () => {
  assert.equal(fmtCustName(customers().get("C1")), "Ada");
});

test("chkCustMail wants an at sign", () => {
  assert.equal(chkCustMail("ada@example.org"), true);
  assert.equal(chkCustMail("ada"), false);
});

test("listCustByCity sorts the names", () => {
  assert.deepEqual(listCustByCity(customers(), "Ulm"), ["Ada", "Customer"]);
});`,
  },
  {
    name: "addresses",
    code: `
/** An address on one line. */
export function fmtAddr(address: Address): string {
  return address.street + ", " + fmtZip(address.zip) + " " + address.city;
}

/** A postal code with all its digits. */
export function fmtZip(zip: string): string {
  return isBlank(zip) ? "00000" : zip.padStart(5, "0");
}

/** The zone of a postal code, for shipping. */
export function calcAddrZone(zip: string): number {
  return clampNumber(Number(fmtZip(zip)[0]), 1, 5);
}

/** Where a customer lives. */
export function getCustAddr(customers: Map<string, Customer>, id: string): string {
  return fmtAddr(getCust(customers, id).address);
}`,
    tests: `
test("fmtAddr is one line", () => {
  assert.equal(fmtAddr({ street: "Hof 1", zip: "1067", city: "Ulm" }), "Hof 1, 01067 Ulm");
});

test("fmtZip has five digits", () => {
  assert.equal(fmtZip("1067"), "01067");
});

test("calcAddrZone is one to five", () => {
  assert.equal(calcAddrZone("89073"), 5);
  assert.equal(calcAddrZone("01067"), 1);
});

test("getCustAddr is where a customer lives", () => {
  assert.equal(getCustAddr(customers(), "C1"), "Hof 1, 89073 Ulm");
});`,
  },
  {
    name: "loyalty",
    code: `
/** Points for an amount. */
export function calcPts(cents: number): number {
  return Math.floor(cents / 100);
}

/** The level of a customer, by points. */
export function getCustLevel(points: number): string {
  if (points == 0) return "new";
  return points > 500 ? "gold" : "silver";
}

/** Points of all orders of a customer. */
export function calcCustPts(orders: Order[]): number {
  let points = 0;
  orders.forEach((order) => {
    points += calcPts(order.total);
  });
  return clampNumber(points, 0, 100000);
}`,
    tests: `
test("calcPts is a point for each hundred", () => {
  assert.equal(calcPts(740), 7);
});

test("getCustLevel is gold above 500", () => {
  assert.equal(getCustLevel(0), "new");
  assert.equal(getCustLevel(501), "gold");
});

test("calcCustPts adds the orders", () => {
  assert.equal(calcCustPts([order(), order()]), 14);
});`,
  },
  {
    name: "letters",
    code: `
/** The first line of a letter. */
export function fmtGreetingMsg(customer: Customer): string {
  return "Dear " + fmtCustName(customer) + ",";
}

/** A letter that tells of an order on its way. */
export function fmtShipMsg(customer: Customer, order: Order, zone: number): string {
  const days = estShipDays(zone, false);
  return fmtGreetingMsg(customer) + " order " + order.id + " arrives in " + days + " days.";
}

/** A reminder of an invoice. */
export function fmtDunMsg(number: string, age: number): string {
  return chkInvDue(age, 30) ? "Invoice " + number + " is due." : "";
}

/** A letter of the fax machine. */
export function fmtFaxMsg(text: string): string {
  return "FAX " + titleCase(text);
}`,
    tests: `
test("fmtGreetingMsg names the customer", () => {
  assert.equal(fmtGreetingMsg(customers().get("C1")), "Dear Ada,");
});

test("fmtShipMsg tells the days", () => {
  const text = fmtShipMsg(customers().get("C1"), order(), 3);
  assert.equal(text, "Dear Ada, order A1 arrives in 4 days.");
});

test("fmtDunMsg waits a month", () => {
  assert.equal(fmtDunMsg("2026-00042", 31), "Invoice 2026-00042 is due.");
  assert.equal(fmtDunMsg("2026-00042", 3), "");
});`,
    dead: ["fmtFaxMsg"],
  },
  {
    name: "ledger",
    code: `
/** Money in and out of an account, in cents. */
export function calcBalAmt(bookings: number[]): number {
  return roundCents(bookings.reduce((sum, cents) => sum + cents, 0));
}

/** A line of the ledger. */
export function fmtBookLine(text: string, cents: number): string {
  return padText(text, 16) + fmtMoney(cents);
}

/** Whether an account may be closed. */
export function chkBal(bookings: number[]): boolean {
  return calcBalAmt(bookings) == 0;
}`,
    tests: `
test("calcBalAmt adds the bookings", () => {
  assert.equal(calcBalAmt([100, -30]), 70);
});

test("fmtBookLine aligns the amount", () => {
  assert.equal(fmtBookLine("Rent", 70000), "Rent            700.00");
});

test("chkBal wants nothing left", () => {
  assert.equal(chkBal([100, -100]), true);
});`,
  },
  {
    name: "reports",
    code: `
/** What was sold in all, in cents. */
export function calcSalesTot(orders: Order[]): number {
  let sum = 0;
  orders.forEach((order) => {
    sum += order.total;
  });
  return sum;
}

/** What an order is worth on average, in cents. */
export function calcAvgOrdAmt(orders: Order[]): number {
  return orders.length == 0 ? 0 : roundCents(calcSalesTot(orders) / orders.length);
}

/** The day in one line. */
export function fmtDayReport(orders: Order[], day: number): string {
  return fmtDay(day) + ": " + orders.length + " orders, " + fmtMoney(calcSalesTot(orders));
}

/** A share as percent. */
export function fmtPct(part: number, whole: number): string {
  return whole == 0 ? "0 %" : roundCents((100 * part) / whole) + " %";
}`,
    tests: `
test("calcSalesTot adds the orders", () => {
  assert.equal(calcSalesTot([order(), order()]), 1480);
});

test("calcAvgOrdAmt is nothing without orders", () => {
  assert.equal(calcAvgOrdAmt([]), 0);
  assert.equal(calcAvgOrdAmt([order()]), 740);
});

test("fmtDayReport tells number and money", () => {
  assert.equal(fmtDayReport([order()], 20260131), "31.01.2026: 1 orders, 7.40");
});

test("fmtPct knows no share of nothing", () => {
  assert.equal(fmtPct(1, 4), "25 %");
  assert.equal(fmtPct(1, 0), "0 %");
});`,
    tested: ["fmtDayReport"],
  },
  {
    name: "misc",
    code: `
// --- money ---

/** Cents as money. */
export function fmtMoney(cents: number): string {
  return (cents / 100).toFixed(2);
}

/** Money as cents; what is no number is nothing. */
export function parseMoney(text: string): number {
  return isBlank(text) ? 0 : roundCents(Number(text) * 100);
}

// --- text ---

/** Words with capitals. */
export function titleCase(text: string): string {
  const words: string[] = [];
  text.split(" ").forEach((word) => {
    words.push(word.slice(0, 1).toUpperCase() + word.slice(1));
  });
  return words.join(" ");
}

/** A text that fits. */
export function cutText(text: string, width: number): string {
  return width == 0 || text.length <= width ? text : text.slice(0, width - 1) + ".";
}

// --- days ---

/** A day such as 20260131 for people. */
export function fmtDay(day: number): string {
  const digits = String(day);
  return digits.slice(6) + "." + digits.slice(4, 6) + "." + digits.slice(0, 4);
}

/** Whether a year has a day more. */
export function chkLeapYear(year: number): boolean {
  return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}`,
    tests: `
test("fmtMoney has two digits", () => {
  assert.equal(fmtMoney(1205), "12.05");
});

test("parseMoney reads cents", () => {
  assert.equal(parseMoney("12.05"), 1205);
  assert.equal(parseMoney(""), 0);
});

test("titleCase raises each word", () => {
  assert.equal(titleCase("red pear"), "Red Pear");
});

test("cutText shortens", () => {
  assert.equal(cutText("Strawberries", 6), "Straw.");
});

test("fmtDay turns a day round", () => {
  assert.equal(fmtDay(20260131), "31.01.2026");
});

test("chkLeapYear knows the rule of 400", () => {
  assert.deepEqual([2000, 2024, 2100].map(chkLeapYear), [true, true, false]);
});`,
  },
];
