import { type ContenderName, type Link, open, type Place } from "../contenders/contender.ts";
import type { Message } from "../message.ts";
import { serve } from "../serve.ts";

let link: Link;
let forward: (message: Message) => void | Promise<void>;

const hop = {
  async listen(contender: ContenderName, place: Place, topic: string) {
    link = await open(contender, place);
    await link.subscribe(topic, (message) => {
      message.hops += 1;
      return forward(message);
    });
  },

  async forward(topic: string) {
    forward = await link.publisher(topic);
  },
};

export type Hop = typeof hop;
serve(hop);
