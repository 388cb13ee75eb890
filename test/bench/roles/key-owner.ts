import type { Place } from "../contenders/contender.ts";
import { openKeyed, type KeyedName } from "../entities/keyed.ts";
import { serve } from "../serve.ts";

const owner = {
  async own(contender: KeyedName, place: Place) {
    await (await openKeyed(contender, place)).own();
  },
};

export type KeyOwner = typeof owner;
serve(owner);
