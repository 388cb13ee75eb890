import { describe, expect, test } from "vitest";
import { runSchedule } from "./shard-schedule.ts";

/** `npm test` runs a quick part; PLEXUS_SIM_SCHEDULES=10000 is the full count, PLEXUS_SIM_SEED repeats one, told aloud. */
const COUNT = Number(process.env["PLEXUS_SIM_SCHEDULES"] ?? 300);
const SEED = process.env["PLEXUS_SIM_SEED"];
const BATCHES = 10;

function run(seed: number, trace?: (line: string) => void): number {
  try {
    return runSchedule(seed, trace);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Schedule ${seed}: ${why}. Again, with a trace: PLEXUS_SIM_SEED=${seed}`, {
      cause,
    });
  }
}

describe("shard machines", () => {
  test.runIf(SEED !== undefined)("survive the schedule of PLEXUS_SIM_SEED", () => {
    run(Number(SEED), (line) => console.log(line));
  });

  test.skipIf(SEED !== undefined).each(Array.from({ length: BATCHES }, (_, batch) => batch))(
    `have one owner per partition, rising epochs and ordered commands whatever fails: part %i of ${BATCHES}`,
    { timeout: 600_000 },
    (batch) => {
      for (let seed = batch; seed < COUNT; seed += BATCHES) run(seed);
    },
  );

  test("do the same again from the same seed", () => {
    for (const seed of [2, 3, 5]) expect(run(seed)).toBe(run(seed));
    expect(run(2)).not.toBe(run(8));
  });
});
