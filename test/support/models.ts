import {
  localFleet,
  openModels,
  type DeploymentSpec,
  type Fleet,
  type Models,
  type ModelsOptions,
} from "@plexus/llm";
import { startModelServer, type ModelServer, type ModelServerOptions } from "@plexus/testing";
import { afterEach } from "vitest";

/** Stub model servers and model layers that end with the test. */
export interface TestModels {
  server(options?: ModelServerOptions): Promise<ModelServer>;
  open(options: ModelsOptions): Promise<Models>;
}

/** A deployment of a stub: a dollar per million tokens of input, two of output. */
export function deployment(
  server: ModelServer,
  more: Partial<DeploymentSpec> = {},
): DeploymentSpec {
  const price = { input: 1, output: 2 };
  return {
    id: "main",
    model: "stub-model",
    baseUrl: server.url,
    apiKey: "key",
    price,
    timeout: 500,
    ...more,
  };
}

export function useModels(): TestModels {
  let opened: AsyncDisposable[] = [];
  afterEach(async () => {
    await Promise.all(opened.toReversed().map((one) => one[Symbol.asyncDispose]()));
    opened = [];
  });
  const keep = <T extends AsyncDisposable>(one: T): T => {
    opened.push(one);
    return one;
  };
  return {
    server: async (options) => keep(await startModelServer(options)),
    open: async (options) => keep(await openModels(options)),
  };
}

/** A fleet of one process whose counters can be read. */
export function countingFleet(): Fleet & {
  count(name: string, labels: Record<string, string>): number;
} {
  const fleet = localFleet();
  return {
    ...fleet,
    count: (name, labels) => fleet.meter.counter(name, "", []).with(labels).value,
  };
}
