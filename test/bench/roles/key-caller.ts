import { connect } from "@nats-io/transport-node";
import { now } from "../clock.ts";
import type { Place } from "../contenders/contender.ts";
import { openKeyed, type KeyedCaller, type KeyedName } from "../entities/keyed.ts";
import { message } from "../message.ts";
import { serve } from "../serve.ts";
import { TimedCalls } from "../timed-calls.ts";

const GROWING = 1_024; // messages in flight while the journal is filled
let caller: KeyedCaller;
let among = 1; // so many keys
let next = 0;

const calls = new TimedCalls((from) => {
  const n = next++;
  return caller.call(String(n % among), message(n, from));
});

const keyCaller = {
  async connect(contender: KeyedName, place: Place) {
    caller = await (await openKeyed(contender, place)).caller();
  },

  closed(keys: number, outstanding: number, seconds: number) {
    among = keys;
    return calls.closed(outstanding, seconds);
  },

  open(keys: number, rate: number, seconds: number) {
    among = keys;
    return calls.open(rate, seconds);
  },

  /** Sends without waiting for outcomes: how many were stored a second, and how many were executed a second in all. */
  async sends(keys: number, inFlight: number, count: number) {
    const begin = now();
    let left = count;
    const one = async (): Promise<void> => {
      while (left > 0) {
        const n = left--;
        await caller.send(String(n % keys), message(n, now()));
      }
    };
    await Promise.all(Array.from({ length: inFlight }, one));
    const stored = count / ((now() - begin) / 1000);
    await Promise.all(Array.from({ length: keys }, (_, key) => caller.executed(String(key))));
    return { stored, executed: count / ((now() - begin) / 1000) };
  },

  /** Fills the journal with records of something else, as large as one's own, of many keys in as many partitions. */
  async grow({ servers, namespace }: Place, records: number) {
    const nc = await connect({ servers, noAsyncTraces: true });
    const bytes = Buffer.alloc(420, "x");
    let left = records;
    const one = async (): Promise<void> => {
      while (left > 0) {
        const n = left--;
        await nc.request(`${namespace}.log.ballast.${n % 64}.${n % 99_991}`, bytes, {
          timeout: 30_000,
        });
      }
    };
    await Promise.all(Array.from({ length: GROWING }, one));
    await nc.close();
  },
};

export type KeyCaller = typeof keyCaller;
serve(keyCaller);
