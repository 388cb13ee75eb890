import { describe, expect, test } from "vitest";
import { runSchedule } from "./shard-schedule.ts";

// A quick part; PLEXUS_SIM_SCHEDULES=10000 is the full count, and PLEXUS_SIM_SEED repeats one and tells what happens.
const COUNT = Number(process.env["PLEXUS_SIM_SCHEDULES"] ?? 300);
const SEED = process.env["PLEXUS_SIM_SEED"];
const BATCHES = 10;

/** What is wrong with the schedule of this seed, if anything is. */
function complaint(seed: number, trace?: (line: string) => void): string | undefined {
  try {
    runSchedule(seed, trace);
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `${why}: see PLEXUS_SIM_SEED=${seed} npx vitest run test/sim`;
  }
}

describe("shard machines", () => {
  test.runIf(SEED !== undefined)("survive the schedule of PLEXUS_SIM_SEED", () => {
    expect(complaint(Number(SEED), (line) => console.log(line))).toBeUndefined();
  });

  test.skipIf(SEED !== undefined).each(Array.from({ length: BATCHES }, (_, batch) => batch))(
    `have one owner per partition, rising epochs and ordered commands whatever fails: part %i of ${BATCHES}`,
    { timeout: 600_000 },
    (batch) => {
      const complaints: string[] = [];
      for (let seed = batch; seed < COUNT; seed += BATCHES) {
        const found = complaint(seed);
        if (found !== undefined) complaints.push(found);
      }
      expect(complaints).toStrictEqual([]);
    },
  );

  test("do the same again from the same seed", () => {
    for (const seed of [2, 3, 5]) expect(runSchedule(seed)).toBe(runSchedule(seed));
    expect(runSchedule(2)).not.toBe(runSchedule(8));
  });
});
