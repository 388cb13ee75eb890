/** The types of the patient, which every part shares. */
export const TYPES = `/** What is sold. */
export interface Item {
  readonly code: string;
  readonly name: string;
  readonly category: string;
  readonly cents: number;
  readonly grams: number;
}

/** Pieces of an item. */
export interface Line {
  readonly item: Item;
  readonly qty: number;
}

export interface StockLevel {
  readonly onHand: number;
  readonly reserved: number;
}

export interface Address {
  readonly street: string;
  readonly zip: string;
  readonly city: string;
}

export interface Customer {
  readonly id: string;
  readonly name: string;
  readonly address: Address;
}

export interface Order {
  readonly id: string;
  readonly lines: Line[];
  /** In cents. */
  readonly total: number;
  readonly tax: number;
}
`;

/** Helpers that somebody once copied into every module that needed them. */
export const HELPERS: Readonly<Record<string, string>> = {
  roundCents: `function roundCents(value: number): number {
  return Math.round(value);
}`,
  clampNumber: `function clampNumber(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}`,
  isBlank: `function isBlank(text: string): boolean {
  return text.trim().length === 0;
}`,
  padText: `function padText(text: string, width: number): string {
  return text.length < width ? text + " ".repeat(width - text.length) : text;
}`,
};

/** What the tests stand on. */
export const SAMPLES = `import type { Customer, Item, Line, Order, StockLevel } from "../src/types.ts";

const apple: Item = { code: "AP-001", name: "Apple", category: "fruit", cents: 80, grams: 140 };
const pear: Item = { code: "PE-002", name: "Pear", category: "fruit", cents: 60, grams: 100 };

export function items(): Map<string, Item> {
  return new Map([pear, apple].map((item) => [item.code, item]));
}

export function lines(): Line[] {
  return [
    { item: apple, qty: 3 },
    { item: pear, qty: 1 },
  ];
}

export function stock(): Map<string, StockLevel> {
  return new Map([
    ["AP-001", { onHand: 9, reserved: 2 }],
    ["PE-002", { onHand: 4, reserved: 1 }],
  ]);
}

export function shelves(): Map<string, string> {
  return new Map([
    ["AP-001", "B2"],
    ["PE-002", "A1"],
  ]);
}

export function customers(): Map<string, Customer> {
  const address = { street: "Hof 1", zip: "89073", city: "Ulm" };
  return new Map([
    ["C1", { id: "C1", name: " Ada ", address }],
    ["C2", { id: "C2", name: "", address }],
  ]);
}

export function order(): Order {
  return { id: "A1", lines: lines(), total: 740, tax: 20 };
}
`;
