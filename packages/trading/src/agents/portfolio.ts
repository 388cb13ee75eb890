import { Portfolio } from "../contracts.ts";
import { TradingError } from "../errors.ts";
import type { Part } from "./part.ts";
import type { Station } from "./station.ts";
import { warmUp } from "./warm-up.ts";

/** Fills per answer: far below what the broker takes in one message. */
const PAGE = 1_000;

/** Owns a share of the books and records each fill once, in the order of their numbers. */
export function openPortfolio(station: Station): Part {
  const { mesh } = station;
  const recorded = station.tally("fills");
  return {
    host: () =>
      mesh.host(Portfolio, {
        record(fill, ctx) {
          const expected = ctx.state.fills.length;
          if (fill.number < expected) return "duplicate";
          if (fill.number > expected) {
            throw new TradingError(
              "OUT_OF_ORDER",
              `fill ${fill.number} of ${ctx.key} came before fill ${expected}`,
            );
          }
          recorded.value += 1;
          ctx.emit("booked", fill);
          return "booked";
        },
        fills: ({ from }, { state: { fills } }) => ({
          fills: fills.slice(from, from + PAGE),
          total: fills.length,
        }),
      }),
    prepare: () => warmUp(mesh, Portfolio),
  };
}
