// Uses registers when it is told to, over a broker that nobody breaks, and answers what it was answered. Writes `ready`.
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectNats } from "@nats-io/transport-node";
import { isMeshError } from "@plexus/core";
import { connect } from "@plexus/mesh";
import { seededRandom, type Operation } from "@plexus/testing";
import { Cell, Register, Ticks, type Answer, type Request } from "../register.ts";
import type { Order, Reading, TickOrder, TickReport, Tick } from "../register-orders.ts";

const [name = "", control = ""] = process.argv.slice(2);
const TIMEOUT = "8s";
const mesh = await connect({ name, http: false, timeout: "30s" });
const register = mesh.state(Register);
const ticks = mesh.state(Ticks);
const orders = await connectNats({ servers: control, maxReconnectAttempts: -1 });
let written = 0;

/** The clock that all processes of a machine share, in ms. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

orders.subscribe(`${name}.run`, {
  callback: (_error, message) => {
    void run(message.json<Order>()).then((history) => message.respond(JSON.stringify(history)));
  },
});
orders.subscribe(`${name}.tick`, {
  callback: (_error, message) => {
    void tick(message.json<TickOrder>()).then((report) => message.respond(JSON.stringify(report)));
  },
});
await orders.flush();
console.log("ready");

async function run(order: Order): Promise<Operation<Request, Answer>[]> {
  const history: Operation<Request, Answer>[] = [];
  const untilMs = now() + order.ms;
  const loops = order.keys.map(async (key, n) => {
    const random = seededRandom(order.seed * 31 + n);
    const client = `${name}/${n}`;
    while (now() < untilMs) {
      // A client does one thing after the other.
      await once(history, client, draw(key, random, order.broken), order);
      await sleep(random() * order.pauseMs);
    }
    await once(history, client, { key, do: "read" }, order);
  });
  await Promise.all(loops);
  return history;
}

/** What this client has seen of each register, for swaps. */
const seen = new Map<string, Reading>();

function draw(key: string, random: () => number, broken: boolean): Request {
  const drawn = random();
  const to = `${name}:${written++}`;
  // Who trusts his copy must not ask the broker for anything else, or would wait for it and see nothing old.
  if (broken) return name === "c0" ? { key, do: "exchange", to } : { key, do: "read" };
  if (drawn < 0.4) return { key, do: "read" };
  if (drawn < 0.5 && key.startsWith("s")) return { key, do: "write", to };
  if (drawn < 0.7) return { key, do: "exchange", to };
  return { key, do: "swap", from: seen.get(key)?.mark ?? "", to };
}

async function once(
  history: Operation<Request, Answer>[],
  client: string,
  input: Request,
  order: Order,
): Promise<void> {
  const calledAt = now();
  let output: Answer | undefined;
  try {
    output = await (input.key.startsWith("s") ? ofState(input, order) : ofEntity(input));
  } catch (error) {
    if (!isMeshError(error)) throw error;
    if (!order.faults && error.code !== "CONFLICT") throw error;
  }
  // A read that was not answered says nothing.
  if (output === undefined && input.do === "read") return;
  history.push({ client, input, calledAt, answeredAt: now(), output });
}

async function ofState({ key, do: what, to = "" }: Request, order: Order): Promise<Answer> {
  const options = { timeout: TIMEOUT } as const;
  if (what === "read") {
    const consistency = order.broken ? "eventual" : "strong";
    const entry = await register.get(key, { ...options, consistency });
    seen.set(key, { mark: entry?.value ?? "", revision: entry?.revision ?? 0 });
    return entry?.value ?? "";
  }
  if (what === "write") {
    const { revision } = await register.set(key, to, options);
    seen.set(key, { mark: to, revision });
    return true;
  }
  if (what === "exchange") {
    let before = "";
    const change = (mark = ""): string => {
      before = mark;
      return to;
    };
    const entry = await register.update(key, change, options);
    seen.set(key, { mark: to, revision: entry!.revision });
    return before;
  }
  try {
    const { revision } = await register.compareAndSwap(
      key,
      seen.get(key)?.revision ?? 0,
      to,
      options,
    );
    seen.set(key, { mark: to, revision });
    return true;
  } catch (error) {
    if (isMeshError(error, "CONFLICT")) return false;
    throw error;
  }
}

async function ofEntity({ key, do: what, from = "", to = "" }: Request): Promise<Answer> {
  const options = { timeout: TIMEOUT } as const;
  const cell = mesh.get(Cell, key);
  if (what === "read") {
    const mark = await cell.read(undefined, options);
    seen.set(key, { mark, revision: 0 });
    return mark;
  }
  if (what === "swap") return cell.swap({ from, to }, options);
  const before = await cell.exchange(to, options);
  seen.set(key, { mark: to, revision: 0 });
  return before;
}

/** Writes a tick every few ms, or reads it from the own copy. */
async function tick({ role, key, ms, everyMs }: TickOrder): Promise<TickReport> {
  const found: Tick[] = [];
  await ticks.get(key, { consistency: "eventual", timeout: TIMEOUT });
  const untilMs = now() + ms;
  for (let n = 1; now() < untilMs; n++) {
    if (role === "write") {
      const entry = await ticks.set(key, n, { timeout: TIMEOUT }).catch(() => undefined);
      if (entry) found.push({ at: now(), revision: entry.revision });
    } else {
      const at = now();
      const entry = await ticks.get(key, { consistency: "eventual" });
      found.push({ at, revision: entry?.revision ?? 0 });
    }
    await sleep(everyMs);
  }
  return found;
}
