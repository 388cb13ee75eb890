import type { Mesh } from "@plexus/mesh";
import { expect, test } from "vitest";
import { type Seat, Station } from "./station.ts";

const seat: Seat = { role: "order", index: 0, of: 1 };
const nothing = (): void => undefined;

function stationAfter(before: Station | undefined): Station {
  const options = { before: before?.status(), announce: nothing, failed: nothing };
  return new Station({} as Mesh, seat, options); // no counter of a station needs a mesh
}

test("totals do not go back while a process that begins anew folds again what its predecessor had", () => {
  const first = stationAfter(undefined);
  first.received("bars").value += 10;
  first.count("hold").value += 8;
  const second = stationAfter(first);
  second.received("bars").value += 4;
  expect(second.status()).toMatchObject({ life: 2, received: { bars: 10 }, counts: { hold: 8 } });
  second.received("bars").value += 7;
  expect(second.status()).toMatchObject({ received: { bars: 11 } });
});

test("what no fold brings back goes on from the predecessor's last word", () => {
  const first = stationAfter(undefined);
  first.tally("orders").value += 3;
  first.latency("booked").observe(5_000);
  first.handled.set("bars.0", 7);
  const second = stationAfter(first);
  second.tally("orders").value += 1;
  second.latency("booked").observe(9_000);
  const status = stationAfter(second).status();
  expect(status).toMatchObject({ life: 3, received: { orders: 4 }, handled: { "bars.0": 7 } });
  expect(status.latency["booked"]).toMatchObject({ count: 2, sumUs: 14_000, maxUs: 9_000 });
});

test("a failure is told once, a phase never goes back", () => {
  const failures: unknown[] = [];
  let announced = 0;
  const station = new Station({} as Mesh, seat, {
    before: undefined,
    announce: () => (announced += 1),
    failed: (error) => failures.push(error),
  });
  station.fail("one");
  station.fail("two");
  station.enter("done");
  station.enter("ready");
  expect(failures).toEqual(["one"]);
  expect(announced).toBe(1);
  expect(station.status().phase).toBe("done");
});
