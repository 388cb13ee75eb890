import { now } from "../clock.ts";
import type { Place } from "../contenders/contender.ts";
import { openRecorder, type Recorder, type RecorderName } from "../journal/recorder.ts";
import { message } from "../message.ts";
import { serve } from "../serve.ts";

const KEYS = 1_024;
let own: Recorder;

/** How many a second, with so many in flight. */
async function paced(
  count: number,
  inFlight: number,
  each: (n: number) => Promise<unknown>,
): Promise<number> {
  const begin = now();
  let left = count;
  const lane = async (): Promise<void> => {
    while (left > 0) await each(left--);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return count / ((now() - begin) / 1000);
}

const recorder = {
  async connect(name: RecorderName, place: Place) {
    own = await openRecorder(name, place);
  },

  /** Events appended a second, of many keys. */
  append: (count: number, inFlight: number) =>
    paced(count, inFlight, (n) => own.append(String(n % KEYS), message(n, now()))),

  /** Appends to several keys a second. */
  appendAll: (count: number, inFlight: number, keys: number) =>
    paced(count, inFlight, (n) => {
      const names = Array.from({ length: keys }, (_, i) => `${n % KEYS}-${i}`);
      return own.appendAll(names, message(n, now()));
    }),

  /** Events a second that are added up by a new process. */
  async rebuild() {
    const begin = now();
    const events = await own.rebuild();
    return { events, perSecond: events / ((now() - begin) / 1000) };
  },
};

export type RecorderRole = typeof recorder;
serve(recorder);
