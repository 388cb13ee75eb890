import { expect, test, vi } from "vitest";
import { Account, hostAccounts } from "../support/account.ts";
import { plexus } from "../support/cli.ts";
import { useMeshes } from "../support/mesh.ts";

const meshes = useMeshes();

interface Shown {
  readonly shards: readonly { readonly partition: number; readonly owner: string }[];
  readonly lastMovement?: { readonly moves: readonly { readonly partitions: number[] }[] };
}

test("plexus shards shows owners, epochs and the last movement, plexus agents inspect what an owner has", async () => {
  const [one, two, client] = [
    await meshes.join({ name: "one" }),
    await meshes.join({ name: "two" }),
    await meshes.join(),
  ];
  const env = { PLEXUS_SERVERS: meshes.broker.url, PLEXUS_MESH: meshes.name };
  const shown = async (): Promise<Shown> => {
    const { stdout } = await plexus(["shards", "account", "--json"], { env });
    return JSON.parse(stdout) as Shown;
  };
  const { code, stdout } = await plexus(["shards"], { env });
  expect([code, stdout]).toEqual([0, `No entities in mesh ${meshes.name}.\n`]);
  expect(await plexus(["shards", "account"], { env })).toMatchObject({ code: 3 });

  const first = await hostAccounts(one);
  await client.get(Account, "ada").deposit({ cents: 5, note: "a" });
  const alone = await shown();
  expect(alone.shards.map(({ owner }) => owner)).toEqual(Array(8).fill(first.info.instance));
  expect(alone.lastMovement).toBeUndefined();

  const second = await hostAccounts(two);
  await vi.waitFor(async () => expect((await shown()).lastMovement).toBeDefined(), 10_000);
  await vi.waitFor(async () => {
    const owned = (await client.shards(Account)).filter(
      ({ owner }) => owner === second.info.instance,
    );
    expect(owned).toHaveLength(4);
  }, 90_000);
  const shared = await shown();
  const moves = shared.lastMovement!.moves;
  const { instance: from } = first.info;
  const { instance: to } = second.info;
  expect(moves).toMatchObject([{ entity: "account", from, to }]);
  const moved = shared.shards.filter(({ owner }) => owner === to).map(({ partition }) => partition);
  expect(moves[0]!.partitions).toEqual(moved);

  const table = await plexus(["shards"], { env });
  expect(table).toMatchObject({ code: 0, stderr: "" });
  expect(table.stdout).toMatch(/^ENTITY +PARTITION +OWNER +STATE +EPOCH +FOR/);
  expect(table.stdout).toMatch(/account +0 +(one|two)-\S+ +held +\d{13} +\d+s/);
  expect(table.stdout).toMatch(/The last change, \d+s ago, moved 4 of 8 partitions:/);
  expect(table.stdout).toMatch(new RegExp(`account +${from} +${to} +${moved.join(",")}\\n`));

  const inspected = await plexus(["agents", "inspect", "account"], { env });
  expect(inspected).toMatchObject({ code: 0, stderr: "" });
  expect(inspected.stdout).toMatch(/RUNNING +PARTITIONS +KEYS +ANSWERED/);
  expect(inspected.stdout).toMatch(/one-\S+ .* ready +0 +4 +\d +.*deposit 1/);
  const { stdout: json } = await plexus(["agents", "inspect", "account", "--json"], { env });
  expect(JSON.parse(json)).toMatchObject({
    name: "account",
    instances: [{ shards: { partitions: 4 } }, { shards: { partitions: 4 } }],
  });
}, 60_000);
