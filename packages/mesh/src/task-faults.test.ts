import { MeshError, agent } from "@plexus/core";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { inTurn, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const quick = { retry: { attempts: 3, first: 5, max: 20 }, ackWait: 600 } as const;
const Desk = agent("desk", {
  capabilities: { run: { input: z.string(), output: z.unknown(), durable: quick } },
});

describe("what hardly fits the broker", () => {
  const LIMIT = 1_048_576; // the broker's max_payload

  test("an input that leaves no room for the headers of a retry is refused; all others are tried again", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    let executions = 0;
    await host.host(Desk, {
      run: () => {
        executions++;
        throw new MeshError("CONFLICT", "é".repeat(500), { retryable: true });
      },
    });
    const submit = (spare: number) => client.submit(Desk, "run", "x".repeat(LIMIT - spare));
    await expect(submit(300)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    await expect(submit(8 * 1024)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    const task = await submit(8 * 1024 + 200);
    await expect(task.result({ timeout: "5s" })).rejects.toMatchObject({ code: "CONFLICT" });
    expect(executions).toBe(3);
  });

  test("a result that does not fit with its headers fails after one execution", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    let executions = 0;
    await host.host(Desk, {
      run: (spare) => {
        executions++;
        return "x".repeat(LIMIT - Number(spare));
      },
    });
    await inTurn(["140", "120", "100"], async (spare) => {
      executions = 0;
      const task = await client.submit(Desk, "run", spare);
      const code = await task.result().then(
        () => "MESSAGE_TOO_LARGE",
        (error: MeshError) => error.code,
      );
      expect([code, executions]).toEqual(["MESSAGE_TOO_LARGE", 1]);
    });
  });

  test.each([
    ["do not fit", "x".repeat(2 * LIMIT)],
    ["cannot be encoded", { why: () => "nobody knows" }],
  ])(
    "an error whose details %s is recorded without them, after one execution",
    async (_, details) => {
      const [host, client] = [await meshes.join(), await meshes.join()];
      let executions = 0;
      await host.host(Desk, {
        run: (input) => {
          executions++;
          throw new MeshError("CONFLICT", "no luck", { details, retryable: input === "again" });
        },
      });
      const task = await client.submit(Desk, "run", "once");
      await expect(task.result()).rejects.toMatchObject({ code: "CONFLICT", message: "no luck" });
      expect(executions).toBe(1);
      await expect((await client.submit(Desk, "run", "again")).result()).rejects.toMatchObject({
        code: "CONFLICT",
      });
      expect(executions).toBe(1 + 3);
    },
  );
});
