import { type CallOptions, type ContenderName, open, type Place } from "../contenders/contender.ts";
import { message } from "../message.ts";
import { serve } from "../serve.ts";
import { TimedCalls } from "../timed-calls.ts";

let call: () => Promise<unknown>;
const calls = new TimedCalls(() => call());

const caller = {
  async connect(contender: ContenderName, place: Place, options: CallOptions) {
    call = await (await open(contender, place)).caller(message(0, 0), options);
  },

  closed: (outstanding: number, seconds: number) => calls.closed(outstanding, seconds),

  open: (rate: number, seconds: number) => calls.open(rate, seconds),
};

export type Caller = typeof caller;
serve(caller);
