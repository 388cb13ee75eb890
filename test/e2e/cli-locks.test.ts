import { expect, test } from "vitest";
import { plexus } from "../support/cli.ts";
import { useMeshes } from "../support/mesh.ts";

const meshes = useMeshes();

test("plexus locks shows who holds and who waits, and what for", async () => {
  const [one, two] = [await meshes.join({ name: "one" }), await meshes.join({ name: "two" })];
  const env = { PLEXUS_SERVERS: meshes.broker.url, PLEXUS_MESH: meshes.name };
  const none = await plexus(["locks"], { env });
  expect(none).toMatchObject({ code: 0, stdout: `No locks in mesh ${meshes.name}.\n` });

  await using held = await one.lock("Order", { intent: "rename Order.total" });
  const givingUp = new AbortController();
  const { signal } = givingUp;
  const waiting = two.lock("Order", { intent: "split Order", wait: "10m", signal });
  await expect
    .poll(async () => (await one.locks())[0]?.waiters.length, { timeout: 20_000 })
    .toBe(1);

  const { code, stdout, stderr } = await plexus(["locks"], { env });
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^LOCK +WHO +STATE +FOR +TOKEN +INTENT/);
  expect(stdout).toMatch(/Order +one-\S+ +holds +\d+s +\d+ +rename Order\.total\n/);
  expect(stdout).toMatch(/ +two-\S+ +waits +\d+s +- +split Order\n/);
  const json = await plexus(["locks", "--json"], { env });
  expect(JSON.parse(json.stdout)).toMatchObject([
    {
      name: "Order",
      holder: { client: one.client, intent: "rename Order.total", token: held.token },
      waiters: [{ client: two.client, intent: "split Order" }],
    },
  ]);
  givingUp.abort();
  await expect(waiting).rejects.toMatchObject({ code: "CANCELED" });
}, 60_000);
