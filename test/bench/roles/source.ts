import { now } from "../clock.ts";
import { type ContenderName, open, type Place } from "../contenders/contender.ts";
import { Credits } from "../credits.ts";
import { openLoop } from "../load.ts";
import { type Message, message } from "../message.ts";
import { serve } from "../serve.ts";

let publish: (message: Message) => void | Promise<void>;
let credits: Credits;

/** What is published in one go; a client may put it into one write. */
const BURST = 64;

/** Publishes as fast as the window allows until the time is over. */
async function flood(seconds: number): Promise<number> {
  const end = now() + seconds * 1000;
  const timer = setTimeout(() => credits.stopWaiting(), seconds * 1000 + 10);
  let sent = 0;
  while (now() < end) {
    const pending: Promise<void>[] = [];
    let burst = 0;
    for (; burst < BURST && credits.take(); burst += 1) {
      const published = publish(message(sent + burst, now()));
      if (published !== undefined) pending.push(published);
    }
    sent += burst;
    // The window is used up, or the publisher pushes back.
    await (burst === 0 ? credits.granted() : Promise.all(pending));
  }
  clearTimeout(timer);
  return sent;
}

const source = {
  async connect(contender: ContenderName, place: Place, topic: string) {
    credits = await Credits.open(place);
    publish = await (await open(contender, place)).publisher(topic);
  },

  /** Both loads number their messages from 0 and give how many they were. */
  flood: async (seconds: number) => {
    credits.refill();
    return flood(seconds);
  },

  offer: (rate: number, seconds: number) => {
    let sent = 0;
    return openLoop(rate, seconds, (intended) => {
      const pending = publish(message(sent, intended));
      sent += 1;
      return pending;
    });
  },
};

export type Source = typeof source;
serve(source);
