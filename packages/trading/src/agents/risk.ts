import { Risk } from "../contracts.ts";
import { assess, refuse } from "../risk.ts";
import type { Part } from "./part.ts";
import type { Station } from "./station.ts";
import { warmUp } from "./warm-up.ts";

/** Owns a share of the books' limits and judges each order once. */
export function openRisk(station: Station): Part {
  const { mesh } = station;
  const assessed = station.tally("assessments");
  return {
    host: () =>
      mesh.host(Risk, {
        assess(order, ctx) {
          assessed.value += 1;
          const answer = assess(ctx.state, order);
          ctx.emit("assessed", { order, answer });
          return answer;
        },
        refuse({ order, reason }, ctx) {
          assessed.value += 1;
          const answer = refuse(ctx.state, order, reason);
          ctx.emit("assessed", { order, answer });
          return answer;
        },
      }),
    prepare: () => warmUp(mesh, Risk),
  };
}
